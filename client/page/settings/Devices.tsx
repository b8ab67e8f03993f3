import { useCallback, useEffect, useState } from 'react';

import type { DeviceClient, Location, Page, UserSession } from 'alviar-client';
import { useAuth } from 'alviar-client/react';
import { problemText } from '../chat';
import { useText } from '../i18n';
import { Icon } from '../ui/icons';

const PHONES = /android|ios|ipados/i;

export function Devices() {
  const { t } = useText();
  const { client } = useAuth();
  const [sessions, setSessions] = useState<UserSession[] | null>(null);
  const [problem, setProblem] = useState('');

  const load = useCallback(
    () =>
      client.api<Page<UserSession> | UserSession[]>('GET', '/api/users/sessions/?limit=100').then(
        (answer) => setSessions(Array.isArray(answer) ? answer : answer.results),
        (error: unknown) => setProblem(problemText(error, t)),
      ),
    [client, t],
  );
  useEffect(() => void load(), [load]);

  const act = (work: () => Promise<unknown>) => async () => {
    setProblem('');
    await work().catch((error: unknown) => setProblem(problemText(error, t)));
    await load();
  };
  const revoke = (id: string) => act(() => client.api('POST', `/api/users/sessions/${id}/revoke/`, {}));
  const revokeOthers = act(() => client.api('POST', '/api/auth/logout-all/', { keep_current: true }));

  return (
    <div aria-busy={sessions === null}>
      <p className="hint">{t('devicesAbout')}</p>
      <p role="alert" className="bad" hidden={!problem}>
        {problem}
      </p>
      <ul className="cards">
        {sessions?.map((session) => (
          <li key={session.id} data-current={session.is_current}>
            <span className="card-icon">
              <Icon name={PHONES.test(session.client.os ?? '') ? 'device' : 'globe'} />
            </span>
            <Device session={session} />
            {!session.is_current && (
              <button type="button" onClick={revoke(session.id)}>
                {t('revoke')}
              </button>
            )}
          </li>
        ))}
      </ul>
      {sessions && sessions.length > 1 && (
        <button type="button" className="bad" onClick={revokeOthers}>
          {t('revokeOthers')}
        </button>
      )}
    </div>
  );
}

function Device({ session }: { session: UserSession }) {
  const { t, ago } = useText();
  const { client } = session;
  return (
    <div>
      <h2>
        <bdi>{session.device_name || systemOf(client)}</bdi>{' '}
        {session.is_current && <span className="tag">{t('thisDevice')}</span>}{' '}
        {session.sockets > 0 && <span className="tag good">{t('connectedNow')}</span>}
      </h2>
      <p>
        {session.device_name && (
          <>
            <bdi>{systemOf(client)}</bdi> ·{' '}
          </>
        )}
        <Place location={session.location} address={session.ip_address} />
      </p>
      <p className="hint">
        {t('lastActive', { when: ago(session.last_seen_at) })} · {t('signedInAt', { when: ago(session.created_at) })}
      </p>
    </div>
  );
}

/** `Firefox 140 · Android 16` */
export function systemOf(client: DeviceClient): string {
  return [client.browser, client.os, client.device].filter(Boolean).join(' · ');
}

export function Place({ location, address }: { location: Location | null; address: string | null }) {
  const { t } = useText();
  const place = location ? [location.city, location.region, location.country_name].filter(Boolean).join(', ') : '';
  return (
    <>
      <bdi>{place || t('unknownPlace')}</bdi>
      {address && (
        <>
          {' '}
          (<bdi>{address}</bdi>)
        </>
      )}
    </>
  );
}
