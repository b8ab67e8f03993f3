/** Is it connected, how long does the token live, and has anything been lost? */
import { useEffect, useRef, useState } from 'react';

import { ConnectionState, type ChatClient } from 'alviar-client';
import { useAuth, useChat, useConnectionState } from 'alviar-client/react';
import { useText } from './i18n';

interface Tally {
  received: number;
  missing: number;
  repeated: number;
}

/** Counts what has come since the page was opened: every conversation's numbers must follow each other. */
function useTally(chat: ChatClient): Tally {
  const [tally, setTally] = useState<Tally>({ received: 0, missing: 0, repeated: 0 });
  const last = useRef(new Map<string, number>());
  useEffect(() => {
    const stopGap = chat.on('gap', ({ conversation_uuid, last_seq }) => last.current.set(conversation_uuid, last_seq));
    const stopEvents = chat.on('event', ({ conversation_uuid, seq }) => {
      const before = last.current.get(conversation_uuid) ?? seq - 1;
      last.current.set(conversation_uuid, Math.max(before, seq));
      setTally((tally) => ({
        received: tally.received + 1,
        missing: tally.missing + Math.max(0, seq - before - 1),
        repeated: tally.repeated + (seq <= before ? 1 : 0),
      }));
    });
    return () => {
      stopGap();
      stopEvents();
    };
  }, [chat]);
  return tally;
}

/** `59:58` */
function minutes(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

export function StatusBar() {
  const { t } = useText();
  const { client } = useAuth();
  const chat = useChat();
  const state = useConnectionState();
  const tally = useTally(chat);
  const [remaining, setRemaining] = useState(client.accessTokenRemainingMs());
  const [result, setResult] = useState('');
  const [busy, setBusy] = useState(false);

  useEffect(() => {
    const timer = setInterval(() => setRemaining(client.accessTokenRemainingMs()), 1_000);
    return () => clearInterval(timer);
  }, [client]);

  const refresh = async () => {
    setBusy(true);
    setResult(t('refreshing'));
    const before = chat.hello?.connection_id;
    const token = await client.refresh();
    setRemaining(client.accessTokenRemainingMs());
    // The socket gets the new token in band; ask the server once more before saying that all is well.
    if (token) await settled(chat);
    setResult(t(!token ? 'refreshFailed' : chat.hello?.connection_id === before ? 'refreshedKept' : 'refreshedReplaced'));
    setBusy(false);
  };

  return (
    <>
      <span role="status" className="hidden">
        {t(`state_${state}`)}
      </span>
      <details className="status">
        <summary>
          <span className="hidden">{t('connectionDetails')}: </span>
          <span className="pill" data-state={state}>
            {t(`state_${state}`)}
          </span>
          <span className="countdown" aria-hidden="true" dir="ltr">
            {minutes(remaining)}
          </span>
        </summary>
        <div className="card">
          <h2>{t('connectionDetails')}</h2>
          <p>
            {t('tokenLives')}{' '}
            <strong className="countdown" dir="ltr">
              {minutes(remaining)}
            </strong>
          </p>
          <p>
            {t('eventsReceived')}: <strong data-testid="received">{tally.received}</strong> · {t('eventsMissing')}:{' '}
            <strong data-testid="missing">{tally.missing}</strong> · {t('eventsRepeated')}:{' '}
            <strong data-testid="repeated">{tally.repeated}</strong> · {t('unsent')}:{' '}
            <strong data-testid="unsent">{chat.unsentCount}</strong>
          </p>
          <p role="status" data-testid="refresh-result" hidden={!result}>
            {result}
          </p>
          <button type="button" className="primary" disabled={busy} onClick={() => void refresh()}>
            {t('refreshNow')}
          </button>
          {(state === ConnectionState.Waiting || state === ConnectionState.Stopped) && (
            <button type="button" onClick={() => chat.connection.connect()}>
              {t('connectNow')}
            </button>
          )}
        </div>
      </details>
    </>
  );
}

/** Resolves once the server has taken the token on this socket, or greeted on another one. */
function settled(chat: ChatClient): Promise<void> {
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      stop();
      resolve();
    };
    const timer = setTimeout(finish, 5_000);
    const stop = chat.on('frame', (frame) => {
      if (frame.type === 'authenticated' || frame.type === 'hello') finish();
    });
  });
}

/** In words where the bar is out of sight or easily missed: a phone, a long conversation. */
export function ConnectionNotice() {
  const { t } = useText();
  const chat = useChat();
  const state = useConnectionState();
  const [shown, setShown] = useState(false);
  const away = state !== ConnectionState.Open;
  useEffect(() => {
    // A moment's reconnect is nobody's business.
    const timer = setTimeout(() => setShown(away), away ? 800 : 0);
    return () => clearTimeout(timer);
  }, [away]);
  return (
    <p className="strip bad" role="status" hidden={!shown}>
      {shown && t('notConnected')}{' '}
      {shown && (
        <button type="button" className="link" onClick={() => chat.connection.connect()}>
          {t('connectNow')}
        </button>
      )}
    </p>
  );
}
