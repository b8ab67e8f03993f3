/** More than a password: an authenticator app, recovery codes, passkeys, linked accounts, the telephone. */
import { useEffect, useState } from 'react';

import type { Factors as FactorList } from 'alviar-client/accounts';
import { useAuth } from 'alviar-client/react';
import { Field, fieldsOf, hasPasskeys, Section, useAccounts, useWork } from './form';
import { useText } from './i18n';

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
      {factors && factors.social.length > 0 && <Linked factors={factors} onChange={load} />}
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
  const confirm = (code: string) =>
    run(async () => {
      const { recovery_codes } = await accounts.confirmTotp(code);
      setBegun(null);
      onCodes(recovery_codes);
      await onChange();
    });
  const remove = () => run(() => accounts.removeTotp().then(onChange));
  const renew = () => run(async () => (onCodes((await accounts.makeRecoveryCodes()).recovery_codes), onChange()));

  return (
    <Section title={t('authenticator')}>
      <p>{factors.totp ? t('totpOn', { when: time(factors.totp.created_at) }) : t('totpOff')}</p>
      {factors.totp && <p className="hint">{t('codesLeft', { n: factors.recovery_codes_left })}</p>}
      {begun && (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            void confirm(fieldsOf(event).code!);
          }}
        >
          <p>{t('totpScan')}</p>
          <img className="qr" alt={t('qrCode')} src={`data:image/svg+xml,${encodeURIComponent(begun.qr_svg)}`} />
          <p className="hint">
            {t('totpSecret')} <code dir="ltr">{begun.secret}</code>
          </p>
          <Field name="code" label={t('code')} autoComplete="one-time-code" />
          <div className="actions">
            <button type="submit" className="primary" disabled={busy}>
              {t('confirm')}
            </button>
            <button type="button" onClick={() => setBegun(null)}>
              {t('cancel')}
            </button>
          </div>
        </form>
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
              <form
                onSubmit={(event) => {
                  event.preventDefault();
                  const { name } = fieldsOf(event);
                  void run(() => accounts.renamePasskey(id, name!).then(onChange)).then(() => setRenaming(''));
                }}
              >
                <Field name="name" label={t('name')} value={name} maxLength={100} />
                <button type="submit" className="primary" disabled={busy}>
                  {t('save')}
                </button>
              </form>
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
    </Section>
  );
}

function Phone() {
  const { t } = useText();
  const { user } = useAuth();
  const accounts = useAccounts();
  const { busy, run, outcome } = useWork();
  const [challenge, setChallenge] = useState('');
  return (
    <Section title={t('phone')}>
      {user?.phone_number && (
        <p>
          <bdi dir="ltr">{user.phone_number}</bdi>{' '}
          <span className={`tag ${user.phone_verified ? 'good' : ''}`}>{t(user.phone_verified ? 'verified' : 'unverified')}</span>
        </p>
      )}
      <form
        key={challenge}
        onSubmit={(event) => {
          event.preventDefault();
          const { number, code } = fieldsOf(event);
          void run(async () => {
            if (!challenge) return setChallenge((await accounts.changePhone(number!)).challenge);
            await accounts.confirmPhone(challenge, code!);
            setChallenge('');
            return t('verified');
          });
        }}
      >
        {challenge ? (
          <Field name="code" label={t('phoneCode')} autoComplete="one-time-code" />
        ) : (
          <Field name="number" label={t('phoneNumber')} type="tel" autoComplete="tel" value={user?.phone_number} />
        )}
        {outcome}
        <div className="actions">
          <button type="submit" disabled={busy}>
            {t(challenge ? 'confirm' : 'sendCode')}
          </button>
          {challenge && (
            <button type="button" onClick={() => setChallenge('')}>
              {t('cancel')}
            </button>
          )}
        </div>
      </form>
    </Section>
  );
}
