/** What every form shares: one piece of work at a time, faults at their fields, waits with their time, proof of who one is. */
import { createContext, useContext, useEffect, useId, useRef, useState, type FormEvent, type ReactNode } from 'react';

import { ApiError } from 'alviar-client';
import type { FactorMethod } from 'alviar-client/accounts';
import { problemText } from '../chat';
import { useText } from '../i18n';
import { Proof } from '../later';
import { Icon } from './icons';
import { Countdown, useSecondsUntil } from './wait';

interface Problem {
  text: string;
  /** Until when it is no use to try again; milliseconds, 0 where there is no wait. */
  until: number;
}

interface Work {
  busy: boolean;
  /** Does it; a text that it returns is shown as a notice. False where it failed. */
  run: (work: () => Promise<unknown>, form?: HTMLFormElement) => Promise<boolean>;
  /** What is wrong with each field of the form, by its name. */
  faults: Record<string, string>;
  clear: () => void;
  /** What went wrong, what went well, and the question of who one is when the server asks it. */
  outcome: ReactNode;
}

export function useWork(): Work {
  const { t } = useText();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [faults, setFaults] = useState<Record<string, string>>({});
  const [notice, setNotice] = useState('');
  const [asked, setAsked] = useState<{ methods: FactorMethod[]; answer: (proven: boolean) => void } | null>(null);
  const form = useRef<HTMLFormElement | undefined>(undefined);

  // The first field with a fault.
  useEffect(() => {
    if (!busy) form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }, [faults, busy]);

  const clear = () => {
    setProblem(null);
    setFaults({});
    setNotice('');
  };
  const guarded = async (work: () => Promise<unknown>): Promise<unknown> => {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== 'reauthentication_required') throw error;
      const { methods = [] } = error.body as { methods?: FactorMethod[] };
      const proven = await new Promise<boolean>((answer) => setAsked({ methods, answer }));
      setAsked(null);
      return proven ? work() : undefined;
    }
  };
  const run = async (work: () => Promise<unknown>, within?: HTMLFormElement) => {
    form.current = within;
    setBusy(true);
    clear();
    try {
      const answer = await guarded(work);
      if (typeof answer === 'string') setNotice(answer);
      return true;
    } catch (error) {
      // Somebody who closes the browser's passkey window has done nothing wrong.
      if (error instanceof DOMException && error.name === 'NotAllowedError') return false;
      const { atFields, rest } = sorted(error, within);
      setFaults(atFields);
      const text = rest.join(' ') || (Object.keys(atFields).length > 0 ? '' : problemText(error, t));
      if (text) setProblem({ text, until: endOfWait(error) });
      return false;
    } finally {
      setBusy(false);
    }
  };
  const outcome = (
    <>
      <p role="alert" className="notice bad" hidden={!problem}>
        {problem && (
          <>
            <Icon name="warn" />
            <span>
              {problem.text} {problem.until > 0 && <Wait until={problem.until} />}
            </span>
          </>
        )}
      </p>
      <p role="status" className="notice good" hidden={!notice}>
        {notice && (
          <>
            <Icon name="check" />
            <span>{notice}</span>
          </>
        )}
      </p>
      {asked && <Proof {...asked} />}
    </>
  );
  return { busy, run, faults, clear, outcome };
}

/** The faults of fields that the form shows, and the texts that belong to none of them. */
function sorted(error: unknown, form: HTMLFormElement | undefined) {
  const atFields: Record<string, string> = {};
  const rest: string[] = [];
  for (const [name, found] of Object.entries(error instanceof ApiError ? error.errors : {})) {
    const text = found.map(({ message }) => message).join(' ');
    if (form?.elements.namedItem(name)) atFields[name] = text;
    else rest.push(text);
  }
  return { atFields, rest };
}

function endOfWait(error: unknown): number {
  if (!(error instanceof ApiError)) return 0;
  if (error.lockedUntil) return Date.parse(error.lockedUntil);
  return error.retryAfter && error.action === 'wait' ? Date.now() + error.retryAfter * 1000 : 0;
}

/** The time at which it is worth trying again, and how long that is from now. */
function Wait({ until }: { until: number }) {
  const { t, time } = useText();
  const seconds = useSecondsUntil(until);
  if (seconds === 0) return <>{t('tryNow')}</>;
  return (
    <>
      {t('lockedUntil', { when: time(new Date(until).toISOString()) })} <Countdown seconds={seconds} />
    </>
  );
}

const Faults = createContext<Record<string, string>>({});

interface FormProps {
  /** The button's text; without one there is no button. */
  submit: string;
  work: (fields: Record<string, string>) => Promise<unknown>;
  /** What was typed stays when it worked. */
  keep?: boolean;
  danger?: boolean;
  label?: string;
  /** More buttons. */
  more?: ReactNode;
  children: ReactNode;
}

/** Submits without leaving the page; every fault stands at its field, all at once. */
export function Form({ submit, work, keep = false, danger = false, label, more, children }: FormProps) {
  const { busy, run, faults, outcome } = useWork();
  const onSubmit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    if (busy) return;
    const form = event.currentTarget;
    const fields = fieldsOf(event);
    void run(() => work(fields), form).then((worked) => worked && !keep && form.reset());
  };
  return (
    <Faults.Provider value={faults}>
      <form onSubmit={onSubmit} aria-label={label} aria-busy={busy} noValidate>
        {children}
        {outcome}
        {(submit || more) && (
          <div className="actions">
            {submit && (
              <button type="submit" className={danger ? 'bad' : 'primary'} aria-disabled={busy}>
                {submit}
              </button>
            )}
            {more}
          </div>
        )}
      </form>
    </Faults.Provider>
  );
}

/** For a form that does its work itself. */
export const FaultsProvider = Faults.Provider;

/** Over the page until it is answered; the browser keeps the focus inside, and gives it back. */
export function Dialog(props: { title: string; className?: string; onClose: () => void; children: ReactNode }) {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    element.current?.showModal();
    return () => {
      if (before?.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={element}
      aria-label={props.title}
      className={props.className}
      onCancel={(event) => {
        event.preventDefault();
        props.onClose();
      }}
      onClick={(event) => event.target === event.currentTarget && props.onClose()}
    >
      <div className="dialog-body">
        {props.className !== 'viewer' && <h2>{props.title}</h2>}
        {props.children}
      </div>
    </dialog>
  );
}

interface FieldProps {
  name: string;
  label: string;
  type?: string;
  value?: string;
  hint?: string;
  autoComplete?: string;
  optional?: boolean;
  maxLength?: number;
  /** Proposals. */
  options?: readonly string[];
}

export function Field(props: FieldProps) {
  const { name, label, type = 'text', value, hint, autoComplete = 'off', optional = false, maxLength, options } = props;
  const fault = useContext(Faults)[name];
  const id = useId();
  const about = [hint && `${id}-hint`, fault && `${id}-fault`].filter(Boolean).join(' ');
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        name={name}
        type={type}
        defaultValue={value}
        autoComplete={autoComplete}
        required={!optional}
        maxLength={maxLength}
        list={options && `${id}-list`}
        dir="auto"
        autoCapitalize="none"
        aria-invalid={fault ? 'true' : undefined}
        aria-describedby={about || undefined}
      />
      {options && (
        <datalist id={`${id}-list`}>
          {options.map((option) => (
            <option key={option} value={option} />
          ))}
        </datalist>
      )}
      {hint && (
        <small id={`${id}-hint`} className="hint">
          {hint}
        </small>
      )}
      {fault && (
        <small className="fault" id={`${id}-fault`}>
          <Icon name="warn" /> {fault}
        </small>
      )}
    </div>
  );
}

export function fieldsOf(event: FormEvent<HTMLFormElement>): Record<string, string> {
  return Object.fromEntries(new FormData(event.currentTarget)) as Record<string, string>;
}

/** `untitled`: the page's own heading says it already. */
export function Section({ title, untitled = false, children }: { title: string; untitled?: boolean; children: ReactNode }) {
  return (
    <section className="block" aria-label={title}>
      <h2 className={untitled ? 'hidden' : undefined}>{title}</h2>
      {children}
    </section>
  );
}

/** Shows the wish at once, and goes back to what is true where it was refused. It stays enabled: the focus is not lost. */
export function Switch(props: { label: string; hint?: string; checked: boolean; onChange: (on: boolean) => Promise<unknown> }) {
  const [wish, setWish] = useState<boolean | null>(null);
  return (
    <label className="switch">
      <span>
        {props.label}
        {props.hint && <small className="hint">{props.hint}</small>}
      </span>
      <input
        type="checkbox"
        role="switch"
        checked={wish ?? props.checked}
        onChange={({ currentTarget: { checked: on } }) => {
          setWish(on);
          void props.onChange(on).then(() => setWish(null));
        }}
      />
    </label>
  );
}
