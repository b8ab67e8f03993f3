/** Is it connected, how long does the token live, and has anything been lost? */
import { useEffect, useState } from 'react';

import { ConnectionState, type ChatClient } from 'alviar-client';
import { useAuth, useChat, useConnectionState } from 'alviar-client/react';
import { useText } from '../i18n';
import { useTally } from '../tally';
import { Section } from '../ui/form';

/** `59:58` */
function minutes(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

/** For developers: what the token and the socket do, and the proof that a refresh loses nothing. */
export function Connection() {
  const { t } = useText();
  const { client } = useAuth();
  const chat = useChat();
  const state = useConnectionState();
  const tally = useTally();
  const [remaining, setRemaining] = useState(client.accessTokenRemainingMs());
  const [result, setResult] = useState('');
  const [busy, setBusy] = useState(false);

  useEffect(() => {
    const timer = setInterval(() => setRemaining(client.accessTokenRemainingMs()), 1_000);
    return () => clearInterval(timer);
  }, [client]);

  const refresh = async () => {
    if (busy) return;
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
    <Section title={t('connectionDetails')} untitled>
      <dl className="facts">
        <div>
          <dt>{t('connection')}</dt>
          <dd>
            <span className="pill" data-state={state}>
              {t(`state_${state}`)}
            </span>
          </dd>
        </div>
        <div>
          <dt>{t('tokenLives')}</dt>
          <dd className="countdown" dir="ltr">
            {minutes(remaining)}
          </dd>
        </div>
        <Fact name="received" label={t('eventsReceived')} value={tally.received} />
        <Fact name="missing" label={t('eventsMissing')} value={tally.missing} />
        <Fact name="repeated" label={t('eventsRepeated')} value={tally.repeated} />
        <Fact name="unsent" label={t('unsent')} value={chat.unsentCount} />
      </dl>
      <p role="status" className="notice" data-testid="refresh-result" hidden={!result}>
        {result}
      </p>
      <div className="actions">
        <button type="button" className="primary" aria-disabled={busy} onClick={() => void refresh()}>
          {t('refreshNow')}
        </button>
        {(state === ConnectionState.Waiting || state === ConnectionState.Stopped) && (
          <button type="button" onClick={() => chat.connection.connect()}>
            {t('connectNow')}
          </button>
        )}
      </div>
    </Section>
  );
}

function Fact({ name, label, value }: { name: string; label: string; value: number }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd data-testid={name}>{value}</dd>
    </div>
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
