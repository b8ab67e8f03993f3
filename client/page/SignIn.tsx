import { useEffect, useRef, useState, type FormEvent } from 'react';

import { ApiError } from 'alviar-client';
import { mfaRequired, type MfaRequired } from 'alviar-client/accounts';
import { useAuth } from 'alviar-client/react';
import { problemText } from './chat';
import { hasPasskeys, useAccounts } from './form';
import { useText, type Word } from './i18n';
import { Preferences } from './Preferences';

type Form = 'signIn' | 'register' | 'forgot';

/** The server writes the demo people into the page, and only while they may sign in. */
const shell = document.getElementById('app')!.dataset;
const demoPeople = shell.demoPeople?.split(' ').filter(Boolean) ?? [];

export function SignIn({ as }: { as: string | null }) {
  const { t, has, language, time } = useText();
  const { login, register, client, signedOutReason } = useAuth();
  const [form, setForm] = useState<Form>('signIn');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState('');
  /** What is wrong with each field, by its name. */
  const [faults, setFaults] = useState<Record<string, string>>({});
  const element = useRef<HTMLFormElement>(null);
  const [notice, setNotice] = useState('');
  /** The second step, while the right password alone is not enough. */
  const [mfa, setMfa] = useState<MfaRequired | null>(null);
  const accounts = useAccounts();

  const attempt = async (work: () => Promise<unknown>) => {
    setBusy(true);
    setProblem('');
    setFaults({});
    setNotice('');
    try {
      await work();
    } catch (error) {
      const second = mfaRequired(error);
      if (second) return setMfa(second);
      // Spent by too many wrong codes, or too old: back to the password.
      if (error instanceof ApiError && error.code === 'invalid_or_expired_token') setMfa(null);
      // Somebody who closes the browser's passkey window has done nothing wrong.
      if (error instanceof DOMException && error.name === 'NotAllowedError') return;
      const { faults, rest } = atFields(error, element.current);
      setFaults(faults);
      const when = error instanceof ApiError && error.lockedUntil;
      setProblem(rest.join(' ') || (Object.keys(faults).length > 0 ? '' : problemText(error, t)) + (when ? ` ${t('lockedUntil', { when: time(when) })}` : ''));
    } finally {
      setBusy(false);
    }
  };

  // The first field with a fault, once it may be typed in again.
  useEffect(() => {
    if (!busy) element.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }, [faults, busy]);
  useEffect(() => {
    if (mfa) element.current?.querySelector<HTMLElement>('input')?.focus();
  }, [mfa]);

  // The demo person that this window was opened for.
  useEffect(() => {
    if (as && demoPeople.includes(as) && signedOutReason === null) {
      void attempt(() => login({ username: as, password: shell.demoPassword ?? '' }));
    }
  }, []);

  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const fields = Object.fromEntries(new FormData(event.currentTarget)) as Record<string, string>;
    const { username = '', email = '', password = '', password_confirm = '', code = '' } = fields;
    void attempt(async () => {
      if (mfa) return accounts.verifyMfa(mfa.mfa_token, { code });
      if (form === 'forgot') {
        const answer = await client.open<{ detail?: string }>('POST', '/api/auth/password-reset/', { email });
        setNotice(answer.detail ?? t('linkSent'));
        return;
      }
      if (form === 'register') {
        const timezone = Intl.DateTimeFormat().resolvedOptions().timeZone;
        await register({ username, email, password, password_confirm, language, ...(timezone && { timezone }) });
        setNotice(t('registered'));
      }
      await login({ username, password, remember_me: fields.remember === 'on' });
    });
  };

  const field = (name: string, label: Word, type: string, autoComplete: string) => (
    <div key={name}>
      <label className="field">
        <span>{t(label)}</span>
        <input
          name={name}
          type={type}
          autoComplete={autoComplete}
          required
          dir="auto"
          autoCapitalize="none"
          aria-invalid={faults[name] ? 'true' : undefined}
          aria-describedby={faults[name] ? `${name}-fault` : undefined}
        />
      </label>
      {faults[name] && (
        <small className="bad" id={`${name}-fault`}>
          {faults[name]}
        </small>
      )}
    </div>
  );
  const change = (to: Form) => () => {
    setForm(to);
    setMfa(null);
    setProblem('');
    setFaults({});
    setNotice('');
  };
  const ended = `ended_${signedOutReason ?? ''}`;

  return (
    <main className="sign-in">
      <header>
        <h1>
          <img src="/static/app/icon.svg" alt="" width="40" height="40" /> Alviar
        </h1>
        <Preferences />
      </header>
      <p className="about">{t('about')}</p>
      {signedOutReason && signedOutReason !== 'logout' && (
        <p role="alert" className="notice bad">
          {t(has(ended) ? ended : 'ended_other')}
        </p>
      )}
      {demoPeople.length > 0 && form === 'signIn' && !mfa && (
        <section aria-label={t('demoPeople')}>
          <h2>{t('demoPeople')}</h2>
          <div className="people">
            {demoPeople.map((name) => (
              <button
                type="button"
                key={name}
                disabled={busy}
                onClick={() => void attempt(() => login({ username: name, password: shell.demoPassword ?? '' }))}
              >
                {name}
              </button>
            ))}
          </div>
          {as === null && (
            <p className="links">
              <span>{t('sideBySide')}</span>
              {demoPeople.map((name) => (
                <a key={name} href={`/?as=${name}`} target="_blank" rel="noopener">
                  {t('windowOf', { who: name })}
                </a>
              ))}
            </p>
          )}
          <p className="divider">{t('or')}</p>
        </section>
      )}
      <form ref={element} onSubmit={submit} aria-label={t(mfa ? 'secondStep' : form)} key={mfa ? 'mfa' : form}>
        {(mfa || form !== 'signIn') && <h2>{t(mfa ? 'secondStep' : form)}</h2>}
        {mfa ? (
          <>
            <p>{t('codeAbout')}</p>
            {field('code', 'code', 'text', 'one-time-code')}
          </>
        ) : (
          <>
            {form === 'signIn' && field('username', 'username', 'text', 'username')}
            {form === 'register' && field('username', 'newUsername', 'text', 'username')}
            {form !== 'signIn' && field('email', 'email', 'email', 'email')}
            {form === 'signIn' && field('password', 'password', 'password', 'current-password')}
            {form === 'register' && field('password', 'password', 'password', 'new-password')}
            {form === 'register' && field('password_confirm', 'passwordAgain', 'password', 'new-password')}
          </>
        )}
        {form !== 'forgot' && !mfa && (
          <label className="check">
            <input name="remember" type="checkbox" /> {t('remember')}
          </label>
        )}
        <p role="alert" className="bad" hidden={!problem}>
          {problem}
        </p>
        <p role="status" className="notice" hidden={!notice}>
          {notice}
        </p>
        <button type="submit" className="primary" disabled={busy}>
          {t(mfa ? 'continue' : form === 'forgot' ? 'sendLink' : form)}
        </button>
        {hasPasskeys && (mfa ? mfa.methods.includes('passkey') : form === 'signIn') && (
          <button
            type="button"
            className="other"
            disabled={busy}
            onClick={() =>
              void attempt(() => (mfa ? accounts.verifyMfaByPasskey(mfa.mfa_token) : accounts.signInWithPasskey()))
            }
          >
            {t('usePasskey')}
          </button>
        )}
      </form>
      <p className="links">
        {form === 'signIn' && !mfa ? (
          <>
            <button type="button" className="link" onClick={change('register')}>
              {t('register')}
            </button>
            <button type="button" className="link" onClick={change('forgot')}>
              {t('forgot')}
            </button>
          </>
        ) : (
          <button type="button" className="link" onClick={change('signIn')}>
            {t('back')}
          </button>
        )}
      </p>
      {demoPeople.length > 0 && (
        <p className="links">
          <a href="/dev/mail/">{t('mailbox')}</a>
          <a href="/api/docs/">{t('apiDocs')}</a>
        </p>
      )}
    </main>
  );
}

/** The faults of fields that the form shows, and the texts that belong to none of them. */
function atFields(error: unknown, form: HTMLFormElement | null): { faults: Record<string, string>; rest: string[] } {
  const faults: Record<string, string> = {};
  const rest: string[] = [];
  for (const [name, found] of Object.entries(error instanceof ApiError ? error.errors : {})) {
    const text = found.map(({ message }) => message).join(' ');
    if (form?.elements.namedItem(name)) faults[name] = text;
    else rest.push(text);
  }
  return { faults, rest };
}
