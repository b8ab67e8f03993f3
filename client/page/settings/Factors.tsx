/** More than a password: an authenticator app, recovery codes, passkeys, linked accounts, the telephone. */
import { useEffect, useState } from 'react';

import type { Factors as FactorList } from 'alviar-client/accounts';
import { useAuth } from 'alviar-client/react';
import { hasPasskeys, useAccounts } from '../ui/accounts';
import { Field, Form, Section, useWork } from '../ui/form';
import { useText } from '../i18n';
import { leaveFor, offered, takeReturned } from '../social';

export function Factors() {
  const accounts = useAccounts();
  const [factors, setFactors] = useState<FactorList | null>(null);
  const [codes, setCodes] = useState<string[]>([]);
  const { run, outcome } = useWork();
  const load = async () => setFactors(await accounts.factors());
  useEffect(() => void run(load), []);

  return (
    <>
      {outcome}
      {codes.length > 0 && <RecoveryCodes codes={codes} onClose={() => setCodes([])} />}
      {factors && <Totp factors={factors} onChange={load} onCodes={setCodes} />}
      {factors && <Passkeys factors={factors} onChange={load} />}
      {factors && (factors.social.length > 0 || offered.length > 0) && <Linked factors={factors} onChange={load} />}
      <Phone />
    </>
  );
}

interface Part {
  factors: FactorList;
  onChange: () => Promise<void>;
}

function RecoveryCodes({ codes, onClose }: { codes: string[]; onClose: () => void }) {
  const { t } = useText();
  return (
    <Section title={t('recoveryCodes')}>
      <p className="notice">{t('recoveryAbout')}</p>
      <ul className="codes" dir="ltr">
        {codes.map((code) => (
          <li key={code}>
            <code>{code}</code>
          </li>
        ))}
      </ul>
      <div className="actions">
        <button type="button" onClick={() => void navigator.clipboard?.writeText(codes.join('\n'))}>
          {t('copy')}
        </button>
        <button type="button" className="primary" onClick={onClose}>
          {t('keptThem')}
        </button>
      </div>
    </Section>
  );
}

function Totp({ factors, onChange, onCodes }: Part & { onCodes: (codes: string[]) => void }) {
  const { t, time } = useText();
  const accounts = useAccounts();
  const { busy, run, outcome } = useWork();
  const [begun, setBegun] = useState<{ secret: string; qr_svg: string } | null>(null);

  const begin = () => run(async () => setBegun(await accounts.beginTotp()));
  const confirm = async ({ code }: Record<string, string>) => {
    const { recovery_codes } = await accounts.confirmTotp(code!);
    setBegun(null);
    onCodes(recovery_codes);
    await onChange();
  };
  const remove = () => run(() => accounts.removeTotp().then(onChange));
  const renew = () => run(async () => (onCodes((await accounts.makeRecoveryCodes()).recovery_codes), onChange()));

  return (
    <Section title={t('authenticator')}>
      <p>{factors.totp ? t('totpOn', { when: time(factors.totp.created_at) }) : t('totpOff')}</p>
      {factors.totp && <p className="hint">{t('codesLeft', { n: factors.recovery_codes_left })}</p>}
      {begun && (
        <Form
          submit={t('confirm')}
          work={confirm}
          more={
            <button type="button" onClick={() => setBegun(null)}>
              {t('cancel')}
            </button>
          }
        >
          <p>{t('totpScan')}</p>
          <img className="qr" alt={t('qrCode')} src={`data:image/svg+xml,${encodeURIComponent(begun.qr_svg)}`} />
          <p className="hint">
            {t('totpSecret')} <code dir="ltr">{begun.secret}</code>
          </p>
          <Field name="code" label={t('code')} autoComplete="one-time-code" />
        </Form>
      )}
      {outcome}
      <div className="actions">
        {!factors.totp && !begun && (
          <button type="button" disabled={busy} onClick={() => void begin()}>
            {t('totpBegin')}
          </button>
        )}
        {factors.totp && (
          <>
            <button type="button" disabled={busy} onClick={() => void renew()}>
              {t('newCodes')}
            </button>
            <button type="button" className="bad" disabled={busy} onClick={() => void remove()}>
              {t('totpRemove')}
            </button>
          </>
        )}
      </div>
    </Section>
  );
}

function Passkeys({ factors, onChange }: Part) {
  const { t, ago } = useText();
  const accounts = useAccounts();
  const { busy, run, outcome } = useWork();
  const [renaming, setRenaming] = useState('');
  if (!hasPasskeys && factors.passkeys.length === 0) return null;
  return (
    <Section title={t('passkeys')}>
      <p className="hint">{t('passkeysAbout')}</p>
      <ul className="cards">
        {factors.passkeys.map(({ id, name, created_at, last_used_at }) => (
          <li key={id}>
            {renaming === id ? (
              <Form
                submit={t('save')}
                work={async ({ name: wanted }) => {
                  await accounts.renamePasskey(id, wanted!);
                  setRenaming('');
                  await onChange();
                }}
              >
                <Field name="name" label={t('name')} value={name} maxLength={100} />
              </Form>
            ) : (
              <div>
                <h3 dir="auto">{name || t('passkey')}</h3>
                <p className="hint">
                  {t('added', { when: ago(created_at) })}
                  {last_used_at && ` · ${t('lastActive', { when: ago(last_used_at) })}`}
                </p>
              </div>
            )}
            <span className="actions">
              <button type="button" onClick={() => setRenaming(renaming === id ? '' : id)}>
                {t(renaming === id ? 'cancel' : 'rename')}
              </button>
              <button
                type="button"
                className="bad"
                disabled={busy}
                onClick={() => void run(() => accounts.removePasskey(id).then(onChange))}
              >
                {t('remove')}
              </button>
            </span>
          </li>
        ))}
      </ul>
      {outcome}
      {hasPasskeys && (
        <button type="button" disabled={busy} onClick={() => void run(() => accounts.addPasskey().then(onChange))}>
          {t('addPasskey')}
        </button>
      )}
    </Section>
  );
}

function Linked({ factors, onChange }: Part) {
  const { t, ago } = useText();
  const accounts = useAccounts();
  const { busy, run, outcome } = useWork();
  useEffect(() => {
    const returned = takeReturned('link');
    if (!returned) return;
    const { provider, id_token, nonce } = returned;
    void run(async () => {
      if (!id_token) throw new Error(t('providerFailed'));
      await accounts.linkSocial(provider, { id_token, nonce });
      await onChange();
    });
  }, []);
  const others = offered.filter(({ provider }) => !factors.social.some((linked) => linked.provider === provider));
  return (
    <Section title={t('linked')}>
      <ul className="cards">
        {factors.social.map(({ provider, email, linked_at }) => (
          <li key={provider}>
            <div>
              <h3>{provider}</h3>
              <p className="hint">
                <bdi>{email}</bdi> · {t('added', { when: ago(linked_at) })}
              </p>
            </div>
            <button
              type="button"
              className="bad"
              disabled={busy}
              onClick={() => void run(() => accounts.unlinkSocial(provider).then(onChange))}
            >
              {t('unlink')}
            </button>
          </li>
        ))}
      </ul>
      {outcome}
      <div className="actions">
        {others.map(({ provider, name }) => (
          <button type="button" key={provider} disabled={busy} onClick={() => leaveFor(provider, 'link')}>
            {t('linkWith', { name })}
          </button>
        ))}
      </div>
    </Section>
  );
}

function Phone() {
  const { t } = useText();
  const { user } = useAuth();
  const accounts = useAccounts();
  const [challenge, setChallenge] = useState('');
  return (
    <Section title={t('phone')}>
      {user?.phone_number && (
        <p>
          <bdi dir="ltr">{user.phone_number}</bdi>{' '}
          <span className={`tag ${user.phone_verified ? 'good' : ''}`}>{t(user.phone_verified ? 'verified' : 'unverified')}</span>
        </p>
      )}
      <Form
        key={challenge}
        submit={t(challenge ? 'confirm' : 'sendCode')}
        work={async ({ phone_number, code }) => {
          if (!challenge) return setChallenge((await accounts.changePhone(phone_number!)).challenge);
          await accounts.confirmPhone(challenge, code!);
          setChallenge('');
          return t('verified');
        }}
        more={
          challenge && (
            <button type="button" onClick={() => setChallenge('')}>
              {t('cancel')}
            </button>
          )
        }
      >
        {challenge ? (
          <Field name="code" label={t('phoneCode')} autoComplete="one-time-code" />
        ) : (
          <Field name="phone_number" label={t('phoneNumber')} type="tel" autoComplete="tel" value={user?.phone_number} />
        )}
      </Form>
    </Section>
  );
}
