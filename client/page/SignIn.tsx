import { useEffect, useRef, useState, type FormEvent } from 'react';

import { ApiError } from 'alviar-client';
import { mfaRequired, type MfaRequired } from 'alviar-client/accounts';
import { useAuth } from 'alviar-client/react';
import { useText } from './i18n';
import { Preferences } from './settings/Preferences';
import { leaveFor, offered, takeReturned } from './social';
import { Avatar } from './ui/Avatar';
import { hasPasskeys, useAccounts } from './ui/accounts';
import { FaultsProvider, Field, fieldsOf, useWork } from './ui/form';
import { Icon } from './ui/icons';

type Form = 'signIn' | 'register' | 'forgot' | 'byCode';

/** The server writes the demo people into the page, and only while they may sign in. */
const shell = document.getElementById('app')!.dataset;
const demoPeople = shell.demoPeople?.split(' ').filter(Boolean) ?? [];

export function SignIn({ as }: { as: string | null }) {
  const { t, has, language } = useText();
  const { login, register, client, signedOutReason } = useAuth();
  const [form, setForm] = useState<Form>('signIn');
  const { busy, run, faults, clear, outcome } = useWork();
  const element = useRef<HTMLFormElement>(null);
  /** The second step, while the first alone is not enough. */
  const [mfa, setMfa] = useState<MfaRequired | null>(null);
  /** A code that was mailed is waited for. */
  const [challenge, setChallenge] = useState('');
  const accounts = useAccounts();

  const attempt = (work: () => Promise<unknown>) =>
    run(async () => {
      try {
        return await work();
      } catch (error) {
        const second = mfaRequired(error);
        if (second) return setMfa(second);
        // Spent by too many wrong codes, or too old: back to the beginning.
        if (error instanceof ApiError && error.code === 'invalid_or_expired_token') {
          setMfa(null);
          setChallenge('');
        }
        throw error;
      }
    }, element.current ?? undefined);

  // Each step begins at its field.
  const step = mfa ? 'mfa' : challenge ? 'code' : form;
  const firstStep = useRef(true);
  useEffect(() => {
    if (!firstStep.current) element.current?.querySelector<HTMLElement>('input')?.focus();
    firstStep.current = false;
  }, [step]);

  // Back from a provider's page.
  useEffect(() => {
    const returned = takeReturned('signIn');
    if (returned) {
      const { provider, id_token, nonce } = returned;
      void attempt(async () => {
        if (!id_token) throw new Error(t('providerFailed'));
        return accounts.signInWith(provider, { id_token, nonce });
      });
    }
  }, []);

  // The demo person that this window was opened for.
  useEffect(() => {
    if (as && demoPeople.includes(as) && signedOutReason === null) {
      void attempt(() => login({ username: as, password: shell.demoPassword ?? '' }));
    }
  }, []);

  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    if (busy) return;
    const fields = fieldsOf(event);
    const { username = '', email = '', password = '', password_confirm = '', code = '' } = fields;
    void attempt(async () => {
      if (mfa) return accounts.verifyMfa(mfa.mfa_token, { code });
      if (challenge) return accounts.signInWithEmailCode(challenge, code);
      if (form === 'forgot') {
        const answer = await client.open<{ detail?: string }>('POST', '/api/auth/password-reset/', { email });
        return answer.detail ?? t('linkSent');
      }
      if (form === 'byCode') return setChallenge((await accounts.requestEmailCode(email)).challenge);
      if (form === 'register') {
        const timezone = Intl.DateTimeFormat().resolvedOptions().timeZone;
        await register({ username, email, password, password_confirm, language, ...(timezone && { timezone }) });
      }
      await login({ username, password, remember_me: fields.remember === 'on' });
    });
  };

  const change = (to: Form) => () => {
    setForm(to);
    setMfa(null);
    setChallenge('');
    clear();
  };
  const ended = `ended_${signedOutReason ?? ''}`;

  const titles = { mfa: 'secondStep', code: 'byCode', signIn: 'signIn', register: 'register', forgot: 'forgotTitle', byCode: 'byCode' } as const;
  const buttons = { mfa: 'continue', code: 'continue', signIn: 'signIn', register: 'register', forgot: 'sendLink', byCode: 'sendCode' } as const;

  return (
    <main className="sign-in">
      <header>
        <h1>
          <img src="/static/app/icon.svg" alt="" width="44" height="44" /> Alviar
        </h1>
        <Preferences />
      </header>
      <p className="about">{t('about')}</p>
      {signedOutReason && signedOutReason !== 'logout' && (
        <p role="alert" className="notice bad">
          <Icon name="info" />
          <span>{t(has(ended) ? ended : 'ended_other')}</span>
        </p>
      )}
      {demoPeople.length > 0 && step === 'signIn' && (
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
                <Avatar name={name} id={name} />
                {name}
              </button>
            ))}
          </div>
          {as === null && (
            <p className="links close">
              <span>{t('sideBySide')}</span>
              {demoPeople.map((name) => (
                <a key={name} href={`/?as=${name}`} target="_blank" rel="noopener" aria-label={t('windowOf', { who: name })}>
                  {name}
                </a>
              ))}
            </p>
          )}
          <p className="divider">{t('or')}</p>
        </section>
      )}
      <FaultsProvider value={faults}>
        <form ref={element} onSubmit={submit} aria-label={t(titles[step])} aria-busy={busy} key={step} noValidate>
          {step !== 'signIn' && <h2>{t(titles[step])}</h2>}
          {step === 'mfa' && <p className="hint">{t('codeAbout')}</p>}
          {step === 'code' && <p className="hint">{t('codeMailed')}</p>}
          {step === 'byCode' && <p className="hint">{t('byCodeAbout')}</p>}
          {(step === 'mfa' || step === 'code') && <Field name="code" label={t('code')} autoComplete="one-time-code" />}
          {step === 'signIn' && <Field name="username" label={t('username')} autoComplete="username" />}
          {step === 'register' && <Field name="username" label={t('newUsername')} autoComplete="username" />}
          {(step === 'register' || step === 'forgot' || step === 'byCode') && <Field name="email" label={t('email')} type="email" autoComplete="email" />}
          {step === 'signIn' && <Field name="password" label={t('password')} type="password" autoComplete="current-password" />}
          {step === 'register' && <Field name="password" label={t('password')} type="password" autoComplete="new-password" />}
          {step === 'register' && <Field name="password_confirm" label={t('passwordAgain')} type="password" autoComplete="new-password" />}
          {(step === 'signIn' || step === 'register') && (
            <label className="check">
              <input name="remember" type="checkbox" /> {t('remember')}
            </label>
          )}
          {outcome}
          <button type="submit" className="primary" aria-disabled={busy}>
            {t(buttons[step])}
          </button>
          {hasPasskeys && (mfa ? mfa.methods.includes('passkey') : step === 'signIn') && (
            <button
              type="button"
              className="other"
              disabled={busy}
              onClick={() => void attempt(() => (mfa ? accounts.verifyMfaByPasskey(mfa.mfa_token) : accounts.signInWithPasskey()))}
            >
              <Icon name="key" /> {t('usePasskey')}
            </button>
          )}
          {step === 'signIn' && shell.emailCode === 'on' && (
            <button type="button" className="other" onClick={change('byCode')}>
              <Icon name="mail" /> {t('byCode')}
            </button>
          )}
          {step === 'signIn' &&
            offered.map(({ provider, name }) => (
              <button type="button" key={provider} className="other" onClick={() => leaveFor(provider, 'signIn')}>
                <Icon name="globe" /> {t('continueWith', { name })}
              </button>
            ))}
        </form>
      </FaultsProvider>
      <p className="links">
        {step === 'signIn' ? (
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
