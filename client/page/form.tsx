/** What every form of the settings shares: one piece of work at a time, what went wrong, and the proof of who one is. */
import { useEffect, useMemo, useRef, useState, type FormEvent, type ReactNode } from 'react';

import { Accounts, reauthenticationRequired, type FactorMethod } from 'alviar-client/accounts';
import { useAuth } from 'alviar-client/react';
import { problemText } from './chat';
import { useText } from './i18n';

export function useAccounts(): Accounts {
  const { client } = useAuth();
  return useMemo(() => new Accounts(client), [client]);
}

/** Passkeys belong to a name; a browser refuses them at a bare address. */
export const hasPasskeys =
  typeof PublicKeyCredential !== 'undefined' && !/^[\d.]+$|^\[/.test(location.hostname);

interface Work {
  busy: boolean;
  /** Does it; a text that it returns is shown as a notice. */
  run: (work: () => Promise<unknown>) => Promise<void>;
  /** What went wrong, what went well, and the question of who one is when the server asks it. */
  outcome: ReactNode;
}

export function useWork(): Work {
  const { t } = useText();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState('');
  const [notice, setNotice] = useState('');
  const [asked, setAsked] = useState<{ methods: FactorMethod[]; answer: (proven: boolean) => void } | null>(null);

  const guarded = async (work: () => Promise<unknown>): Promise<unknown> => {
    try {
      return await work();
    } catch (error) {
      const methods = reauthenticationRequired(error);
      if (!methods) throw error;
      const proven = await new Promise<boolean>((answer) => setAsked({ methods, answer }));
      setAsked(null);
      return proven ? work() : undefined;
    }
  };
  const run = async (work: () => Promise<unknown>) => {
    setBusy(true);
    setProblem('');
    setNotice('');
    try {
      const answer = await guarded(work);
      if (typeof answer === 'string') setNotice(answer);
    } catch (error) {
      // Somebody who closes the browser's passkey window has done nothing wrong.
      if (!(error instanceof DOMException && error.name === 'NotAllowedError')) setProblem(problemText(error, t));
    } finally {
      setBusy(false);
    }
  };
  const outcome = (
    <>
      <p role="alert" className="bad" hidden={!problem}>
        {problem}
      </p>
      <p role="status" className="notice" hidden={!notice}>
        {notice}
      </p>
      {asked && <Proof {...asked} />}
    </>
  );
  return { busy, run, outcome };
}

/** Over the page until it is answered; the browser keeps the focus inside. */
export function Dialog(props: { title: string; onClose: () => void; children: ReactNode }) {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => element.current?.showModal(), []);
  return (
    <dialog
      ref={element}
      aria-label={props.title}
      onCancel={(event) => {
        event.preventDefault();
        props.onClose();
      }}
    >
      <h2>{props.title}</h2>
      {props.children}
    </dialog>
  );
}

function Proof({ methods, answer }: { methods: FactorMethod[]; answer: (proven: boolean) => void }) {
  const { t } = useText();
  const accounts = useAccounts();
  const { busy, run, outcome } = useWork();
  const byCode = methods.includes('totp') || methods.includes('recovery_code');
  const prove = (work: () => Promise<void>) => run(() => work().then(() => answer(true)));
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const { proof } = fieldsOf(event);
    void prove(() => accounts.reauthenticate(byCode ? { code: proof! } : { password: proof! }));
  };
  return (
    <Dialog title={t('proveTitle')} onClose={() => answer(false)}>
      <p>{t('proveAbout')}</p>
      <form onSubmit={submit}>
        <Field
          name="proof"
          label={t(byCode ? 'code' : 'password')}
          type={byCode ? 'text' : 'password'}
          autoComplete={byCode ? 'one-time-code' : 'current-password'}
        />
        {outcome}
        <div className="actions">
          <button type="submit" className="primary" disabled={busy}>
            {t('continue')}
          </button>
          {hasPasskeys && methods.includes('passkey') && (
            <button type="button" disabled={busy} onClick={() => void prove(accounts.reauthenticateByPasskey)}>
              {t('usePasskey')}
            </button>
          )}
          <button type="button" onClick={() => answer(false)}>
            {t('cancel')}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

export function Field(props: {
  name: string;
  label: string;
  type?: string;
  value?: string;
  autoComplete?: string;
  optional?: boolean;
  maxLength?: number;
}) {
  const { name, label, type = 'text', value, autoComplete = 'off', optional = false, maxLength } = props;
  return (
    <label className="field">
      <span>{label}</span>
      <input
        name={name}
        type={type}
        defaultValue={value}
        autoComplete={autoComplete}
        required={!optional}
        maxLength={maxLength}
        dir="auto"
        autoCapitalize="none"
      />
    </label>
  );
}

export function fieldsOf(event: FormEvent<HTMLFormElement>): Record<string, string> {
  return Object.fromEntries(new FormData(event.currentTarget)) as Record<string, string>;
}

export function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className="block" aria-label={title}>
      <h2>{title}</h2>
      {children}
    </section>
  );
}
