import { useEffect, useState } from 'react';

import type { Page, SecurityEvent } from 'alviar-client';
import { useAuth } from 'alviar-client/react';
import { problemText } from '../chat';
import { Place, systemOf } from './Devices';
import { Factors } from './Factors';
import { useText } from '../i18n';
import { Icon } from '../ui/icons';

const ALARMING = new Set(['login_failed', 'lockout', 'refresh_reused', 'new_device']);

export function SecurityTimeline() {
  const { t, has, time } = useText();
  const { client } = useAuth();
  const [events, setEvents] = useState<SecurityEvent[] | null>(null);
  const [problem, setProblem] = useState('');

  useEffect(() => {
    client.api<Page<SecurityEvent> | SecurityEvent[]>('GET', '/api/users/me/security-events/?limit=100').then(
      (answer) => setEvents(Array.isArray(answer) ? answer : answer.results),
      (error: unknown) => setProblem(problemText(error, t)),
    );
  }, [client]);

  return (
    <div aria-busy={events === null}>
      <Factors />
      <h2>{t('activity')}</h2>
      <p role="alert" className="bad" hidden={!problem}>
        {problem}
      </p>
      {events?.length === 0 && <p className="hint">{t('noEvents')}</p>}
      <ol className="cards timeline">
        {events?.map((event) => {
          const word = `event_${event.kind}`;
          return (
            <li key={event.id} data-alarming={ALARMING.has(event.kind)}>
              <span className="card-icon">
                <Icon name={ALARMING.has(event.kind) ? 'warn' : 'shield'} />
              </span>
              <div>
                <h3>{has(word) ? t(word) : event.kind}</h3>
                <p>
                  <bdi>{systemOf(event.client)}</bdi> · <Place location={event.location} address={event.ip_address} />
                </p>
              </div>
              <time dateTime={event.at}>{time(event.at)}</time>
            </li>
          );
        })}
      </ol>
    </div>
  );
}
