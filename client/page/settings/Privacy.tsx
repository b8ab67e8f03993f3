import { useEffect, useState } from 'react';

import type { Page, Person } from 'alviar-client';
import { useAuth } from 'alviar-client/react';
import { nameOf } from '../chat';
import { useText } from '../i18n';
import { Avatar } from '../ui/Avatar';
import { Section, Switch, useWork } from '../ui/form';

interface ChatSettings {
  share_receipts: boolean;
  share_presence: boolean;
  quiet_hours: { from: string; to: string } | null;
}

export function Privacy() {
  const { t } = useText();
  const { client } = useAuth();
  const { run, outcome } = useWork();
  const [settings, setSettings] = useState<ChatSettings | null>(null);
  const change = (body?: Partial<ChatSettings>) =>
    run(async () => setSettings(await client.api<ChatSettings>(body ? 'PATCH' : 'GET', '/api/chat/settings/', body)));
  useEffect(() => void change(), []);
  const quiet = settings?.quiet_hours;
  return (
    <>
      <Section title={t('privacy')} untitled>
        {settings && (
          <>
            <Switch label={t('shareReceipts')} checked={settings.share_receipts} onChange={(on) => change({ share_receipts: on })} />
            <Switch label={t('sharePresence')} checked={settings.share_presence} onChange={(on) => change({ share_presence: on })} />
            <Switch
              label={t('quietHours')}
              hint={t('quietAbout')}
              checked={quiet !== null}
              onChange={(on) => change({ quiet_hours: on ? { from: '22:00', to: '07:00' } : null })}
            />
            {quiet && (
              <div className="pair">
                {(['from', 'to'] as const).map((end) => (
                  <div key={end} className="field">
                    <label htmlFor={`quiet-${end}`}>{t(`quiet_${end}`)}</label>
                    <input
                      id={`quiet-${end}`}
                      type="time"
                      value={quiet[end]}
                      onChange={({ currentTarget: { value } }) => value && void change({ quiet_hours: { ...quiet, [end]: value } })}
                    />
                  </div>
                ))}
              </div>
            )}
          </>
        )}
        {outcome}
      </Section>
      <Blocked />
    </>
  );
}

function Blocked() {
  const { t } = useText();
  const { client } = useAuth();
  const { busy, run, outcome } = useWork();
  const [people, setPeople] = useState<Person[] | null>(null);
  const load = async () => {
    const all: Person[] = [];
    let next: string | null = '/api/chat/blocks/?limit=100';
    while (next) {
      const page: Page<{ user: Person }> = await client.api('GET', next);
      all.push(...page.results.map(({ user }) => user));
      next = page.next;
    }
    setPeople(all);
  };
  useEffect(() => void run(load), []);
  return (
    <Section title={t('blockedPeople')}>
      {people?.length === 0 && <p className="hint">{t('nobodyBlocked')}</p>}
      <ul>
        {people?.map((person) => (
          <li key={person.id} className="member">
            <Avatar name={nameOf(person, t)} id={person.id} small />
            <span dir="auto">{nameOf(person, t)}</span>
            <button type="button" disabled={busy} onClick={() => void run(() => client.api('DELETE', `/api/chat/blocks/${person.id}/`).then(load))}>
              {t('unblock')}
            </button>
          </li>
        ))}
      </ul>
      {outcome}
    </Section>
  );
}
