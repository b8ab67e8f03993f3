/** The account: profile, notifications, privacy, password, address, a copy of everything, and the end. */
import { useEffect, useState, type FormEvent } from 'react';

import { ApiError, type TokenPair, type User } from 'alviar-client';
import { useAuth } from 'alviar-client/react';
import { saveAs } from './Attachment';
import { Field, fieldsOf, Section, useWork } from './form';
import { useText, type Word } from './i18n';
import { canNotify, notifies, wishNotifications } from './notify';

export function Settings() {
  const { t } = useText();
  return (
    <section>
      <h1>{t('settings')}</h1>
      <Profile />
      <Notifications />
      <Privacy />
      <Password />
      <Address />
      <Export />
      <Closing />
    </section>
  );
}

/** Submits without leaving the page; what was typed goes when it worked. */
function useForm(work: (fields: Record<string, string>) => Promise<unknown>, keep = false) {
  const { busy, run, outcome } = useWork();
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const fields = fieldsOf(event);
    void run(async () => {
      const answer = await work(fields);
      if (!keep) form.reset();
      return answer;
    });
  };
  return { busy, submit, outcome };
}

function Profile() {
  const { t } = useText();
  const { client, user } = useAuth();
  const { busy, submit, outcome } = useForm(async (fields) => {
    client.setUser(await client.api<User>('PATCH', '/api/users/me/', fields));
    return t('saved');
  }, true);
  return (
    <Section title={t('profile')}>
      <form onSubmit={submit}>
        <Field name="first_name" label={t('firstName')} value={user?.first_name} autoComplete="given-name" optional maxLength={150} />
        <Field name="last_name" label={t('lastName')} value={user?.last_name} autoComplete="family-name" optional maxLength={150} />
        <Field name="username" label={t('newUsername')} value={user?.username} autoComplete="username" maxLength={150} />
        <Field name="timezone" label={t('timezone')} value={user?.timezone} />
        {outcome}
        <button type="submit" className="primary" disabled={busy}>
          {t('save')}
        </button>
      </form>
    </Section>
  );
}

/** Shows the wish at once, and goes back to what is true where it was refused. It stays enabled: the focus is not lost. */
function Check({ label, checked, onChange }: { label: string; checked: boolean; onChange: (on: boolean) => Promise<void> }) {
  const [wish, setWish] = useState<boolean | null>(null);
  return (
    <label className="check">
      <input
        type="checkbox"
        checked={wish ?? checked}
        onChange={({ currentTarget: { checked: on } }) => {
          setWish(on);
          void onChange(on).then(() => setWish(null));
        }}
      />
      {label}
    </label>
  );
}

const CHANNELS: ReadonlyArray<['email_notifications' | 'sms_notifications' | 'push_notifications', Word]> = [
  ['email_notifications', 'byEmail'],
  ['sms_notifications', 'bySms'],
  ['push_notifications', 'byPush'],
];

function Notifications() {
  const { t } = useText();
  const { client, user } = useAuth();
  const [here, setHere] = useState(notifies);
  const { run, outcome } = useWork();
  return (
    <Section title={t('notifications')}>
      {CHANNELS.map(([name, label]) => (
        <Check
          key={name}
          label={t(label)}
          checked={user?.[name] ?? false}
          onChange={(on) => run(async () => client.setUser(await client.api<User>('PATCH', '/api/users/me/', { [name]: on })))}
        />
      ))}
      {canNotify && (
        <Check
          label={t('inBrowser')}
          checked={here}
          onChange={(on) =>
            run(async () => {
              const allowed = await wishNotifications(on);
              setHere(allowed);
              if (on && !allowed) return t('notAllowed');
            })
          }
        />
      )}
      {outcome}
    </Section>
  );
}

interface ChatSettings {
  share_receipts: boolean;
  share_presence: boolean;
  quiet_hours: { from: string; to: string } | null;
}

function Privacy() {
  const { t } = useText();
  const { client } = useAuth();
  const { run, outcome } = useWork();
  const [settings, setSettings] = useState<ChatSettings | null>(null);
  const change = (body?: Partial<ChatSettings>) =>
    run(async () => setSettings(await client.api<ChatSettings>(body ? 'PATCH' : 'GET', '/api/chat/settings/', body)));
  useEffect(() => void change(), []);
  const quiet = settings?.quiet_hours;
  return (
    <Section title={t('privacy')}>
      {settings && (
        <>
          <Check label={t('shareReceipts')} checked={settings.share_receipts} onChange={(on) => change({ share_receipts: on })} />
          <Check label={t('sharePresence')} checked={settings.share_presence} onChange={(on) => change({ share_presence: on })} />
          <Check
            label={t('quietHours')}
            checked={quiet !== null}
            onChange={(on) => change({ quiet_hours: on ? { from: '22:00', to: '07:00' } : null })}
          />
          {quiet && (
            <div className="actions">
              {(['from', 'to'] as const).map((end) => (
                <label key={end} className="field">
                  <span>{t(`quiet_${end}`)}</span>
                  <input
                    type="time"
                    value={quiet[end]}
                    onChange={({ currentTarget: { value } }) => value && void change({ quiet_hours: { ...quiet, [end]: value } })}
                  />
                </label>
              ))}
            </div>
          )}
        </>
      )}
      {outcome}
    </Section>
  );
}

function Password() {
  const { t } = useText();
  const { client } = useAuth();
  const { busy, submit, outcome } = useForm(async (fields) => {
    await client.acceptPair(await client.api<TokenPair>('POST', '/api/auth/password-change/', fields));
    return t('passwordChanged');
  });
  return (
    <Section title={t('changePassword')}>
      <form onSubmit={submit}>
        <Field name="old_password" label={t('oldPassword')} type="password" autoComplete="current-password" />
        <Field name="new_password" label={t('newPassword')} type="password" autoComplete="new-password" />
        <Field name="new_password_confirm" label={t('passwordAgain')} type="password" autoComplete="new-password" />
        {outcome}
        <button type="submit" disabled={busy}>
          {t('changePassword')}
        </button>
      </form>
    </Section>
  );
}

/** Somebody without a password leaves its field empty, and is asked otherwise. */
const withPassword = ({ password, ...rest }: Record<string, string>) => ({ ...rest, ...(password && { password }) });

function Address() {
  const { t } = useText();
  const { client, user } = useAuth();
  const { busy, submit, outcome } = useForm(async (fields) => {
    const { detail } = await client.api<{ detail?: string }>('POST', '/api/auth/email-change/', withPassword(fields));
    return detail ?? t('linkSent');
  });
  return (
    <Section title={t('changeEmail')}>
      <p>
        <bdi>{user?.email}</bdi>{' '}
        <span className={`tag ${user?.email_verified ? 'good' : ''}`}>{t(user?.email_verified ? 'verified' : 'unverified')}</span>
      </p>
      <form onSubmit={submit}>
        <Field name="new_email" label={t('newEmail')} type="email" autoComplete="email" />
        <Field name="password" label={t('password')} type="password" autoComplete="current-password" optional />
        {outcome}
        <button type="submit" disabled={busy}>
          {t('changeEmail')}
        </button>
      </form>
    </Section>
  );
}

function Export() {
  const { t } = useText();
  const { client } = useAuth();
  const { busy, run, outcome } = useWork();
  const save = async () => {
    const response = await client.fetch('/api/users/me/export/');
    if (!response.ok) throw await ApiError.from(response);
    saveAs(await (response as unknown as Response).blob(), 'alviar.json');
  };
  return (
    <Section title={t('export')}>
      <p className="hint">{t('exportAbout')}</p>
      {outcome}
      <button type="button" disabled={busy} onClick={() => void run(save)}>
        {t('download')}
      </button>
    </Section>
  );
}

function Closing() {
  const { t } = useText();
  const { client, logout } = useAuth();
  const [sure, setSure] = useState(false);
  const { busy, submit, outcome } = useForm(async (fields) => {
    await client.api('POST', '/api/users/me/close/', withPassword(fields));
    await logout();
  }, true);
  return (
    <Section title={t('closeAccount')}>
      <p className="hint">{t('closeAbout')}</p>
      {sure ? (
        <form onSubmit={submit}>
          <Field name="password" label={t('password')} type="password" autoComplete="current-password" optional />
          {outcome}
          <div className="actions">
            <button type="submit" className="bad" disabled={busy}>
              {t('closeForGood')}
            </button>
            <button type="button" onClick={() => setSure(false)}>
              {t('cancel')}
            </button>
          </div>
        </form>
      ) : (
        <button type="button" className="bad" onClick={() => setSure(true)}>
          {t('closeAccount')}
        </button>
      )}
    </Section>
  );
}
