import { useState, type FormEvent } from 'react';

import { useAuth } from '@/contexts/AuthContext';
import { problemText } from './chat';
import { useText, type Word } from './i18n';
import { Preferences } from './Preferences';

type Form = 'signIn' | 'register' | 'forgot';

/** The server writes the demo people into the page, and only while they may sign in. */
const shell = document.getElementById('app')!.dataset;
const demoPeople = shell.demoPeople?.split(' ').filter(Boolean) ?? [];

export function SignIn() {
  const { t, has, language } = useText();
  const { login, register, client, signedOutReason } = useAuth();
  const [form, setForm] = useState<Form>('signIn');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState('');
  const [notice, setNotice] = useState('');

  const attempt = async (work: () => Promise<unknown>) => {
    setBusy(true);
    setProblem('');
    setNotice('');
    try {
      await work();
    } catch (error) {
      setProblem(problemText(error, t));
    } finally {
      setBusy(false);
    }
  };

  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const fields = Object.fromEntries(new FormData(event.currentTarget)) as Record<string, string>;
    const { username = '', email = '', password = '', password_confirm = '' } = fields;
    void attempt(async () => {
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
    <label className="field" key={name}>
      <span>{t(label)}</span>
      <input name={name} type={type} autoComplete={autoComplete} required dir="auto" autoCapitalize="none" />
    </label>
  );
  const change = (to: Form) => () => {
    setForm(to);
    setProblem('');
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
      {demoPeople.length > 0 && form === 'signIn' && (
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
          <p className="divider">{t('or')}</p>
        </section>
      )}
      <form onSubmit={submit} aria-label={t(form)} key={form}>
        {form !== 'signIn' && <h2>{t(form)}</h2>}
        {form === 'signIn' && field('username', 'username', 'text', 'username')}
        {form === 'register' && field('username', 'newUsername', 'text', 'username')}
        {form !== 'signIn' && field('email', 'email', 'email', 'email')}
        {form === 'signIn' && field('password', 'password', 'password', 'current-password')}
        {form === 'register' && field('password', 'password', 'password', 'new-password')}
        {form === 'register' && field('password_confirm', 'passwordAgain', 'password', 'new-password')}
        {form !== 'forgot' && (
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
          {t(form === 'forgot' ? 'sendLink' : form)}
        </button>
      </form>
      <p className="links">
        {form === 'signIn' ? (
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
