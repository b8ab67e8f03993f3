import type { TokenPair, User } from 'alviar-client';
import { useAuth } from 'alviar-client/react';
import { useText } from '../i18n';
import { Field, Form, Section } from '../ui/form';

/** Somebody without a password leaves its field empty, and is asked otherwise. */
export const withPassword = ({ password, ...rest }: Record<string, string>) => ({ ...rest, ...(password && { password }) });

export function Profile() {
  return (
    <>
      <Names />
      <Address />
      <Password />
    </>
  );
}

function Names() {
  const { t } = useText();
  const { client, user } = useAuth();
  const save = async (fields: Record<string, string>) => {
    client.setUser(await client.api<User>('PATCH', '/api/users/me/', fields));
    return t('saved');
  };
  return (
    <Section title={t('profile')} untitled>
      <Form submit={t('save')} work={save} keep>
        <div className="pair">
          <Field name="first_name" label={t('firstName')} value={user?.first_name} autoComplete="given-name" optional maxLength={150} />
          <Field name="last_name" label={t('lastName')} value={user?.last_name} autoComplete="family-name" optional maxLength={150} />
        </div>
        <Field name="username" label={t('newUsername')} value={user?.username} autoComplete="username" maxLength={150} />
        <Field name="timezone" label={t('timezone')} value={user?.timezone} options={ZONES} />
      </Form>
    </Section>
  );
}

const ZONES = 'supportedValuesOf' in Intl ? Intl.supportedValuesOf('timeZone') : [];

function Address() {
  const { t } = useText();
  const { client, user } = useAuth();
  const change = async (fields: Record<string, string>) => {
    const { detail } = await client.api<{ detail?: string }>('POST', '/api/auth/email-change/', withPassword(fields));
    return detail ?? t('linkSent');
  };
  return (
    <Section title={t('changeEmail')}>
      <p>
        <bdi>{user?.email}</bdi>{' '}
        <span className={`tag ${user?.email_verified ? 'good' : ''}`}>{t(user?.email_verified ? 'verified' : 'unverified')}</span>
      </p>
      <Form submit={t('changeEmail')} work={change}>
        <Field name="new_email" label={t('newEmail')} type="email" autoComplete="email" />
        <Field name="password" label={t('password')} type="password" autoComplete="current-password" optional />
      </Form>
    </Section>
  );
}

function Password() {
  const { t } = useText();
  const { client } = useAuth();
  const change = async (fields: Record<string, string>) => {
    await client.acceptPair(await client.api<TokenPair>('POST', '/api/auth/password-change/', fields));
    return t('passwordChanged');
  };
  return (
    <Section title={t('changePassword')}>
      <Form submit={t('changePassword')} work={change}>
        <Field name="old_password" label={t('oldPassword')} type="password" autoComplete="current-password" />
        <Field name="new_password" label={t('newPassword')} type="password" autoComplete="new-password" />
        <Field name="new_password_confirm" label={t('passwordAgain')} type="password" autoComplete="new-password" />
      </Form>
    </Section>
  );
}
