import { useState } from 'react';

import type { User } from 'alviar-client';
import { useAuth } from 'alviar-client/react';
import { useText, type Word } from '../i18n';
import { canNotify, notifies, wishNotifications } from '../notify';
import { canPush, pushShow, usePush, type Show } from '../push';
import { Section, Switch, useWork } from '../ui/form';

const CHANNELS: ReadonlyArray<['email_notifications' | 'sms_notifications' | 'push_notifications', Word]> = [
  ['email_notifications', 'byEmail'],
  ['sms_notifications', 'bySms'],
  ['push_notifications', 'byPush'],
];
const SHOWS: readonly Show[] = ['full', 'sender', 'nothing'];

export function Notifications() {
  const { t } = useText();
  const { client, user } = useAuth();
  const { run, outcome } = useWork();
  return (
    <>
      <Section title={t('notifications')} untitled>
        {CHANNELS.map(([name, label]) => (
          <Switch
            key={name}
            label={t(label)}
            checked={user?.[name] ?? false}
            onChange={(on) => run(async () => client.setUser(await client.api<User>('PATCH', '/api/users/me/', { [name]: on })))}
          />
        ))}
        {outcome}
      </Section>
      <ThisBrowser />
    </>
  );
}

/** The browser is asked for its permission here, when somebody wishes for it, and never before. */
function ThisBrowser() {
  const { t } = useText();
  const me = useAuth().user?.id;
  const [here, setHere] = useState(() => notifies(me));
  const [show, setShow] = useState<Show | null>(() => pushShow(me));
  const push = usePush();
  const { run, outcome } = useWork();
  if (!canNotify) return null;
  const wish = (on: boolean) =>
    run(async () => {
      const allowed = await wishNotifications(on, me);
      setHere(allowed);
      if (on && !allowed) throw new Error(t('notAllowed'));
      if (!on && show) await forget();
    });
  const choose = async (wanted: Show) => {
    setShow(wanted);
    await push.subscribe(wanted);
  };
  const forget = async () => {
    await push.unsubscribe();
    setShow(null);
  };
  return (
    <Section title={t('thisBrowser')}>
      <Switch label={t('inBrowser')} checked={here} onChange={wish} />
      {canPush && here && (
        <>
          <Switch label={t('whenClosed')} hint={t('whenClosedAbout')} checked={show !== null} onChange={(on) => run(() => (on ? choose('full') : forget()))} />
          {show && (
            <div className="field">
              <label htmlFor="push-show">{t('pushShow')}</label>
              <select id="push-show" value={show} onChange={(event) => void run(() => choose(event.currentTarget.value as Show))}>
                {SHOWS.map((each) => (
                  <option key={each} value={each}>
                    {t(`show_${each}`)}
                  </option>
                ))}
              </select>
            </div>
          )}
        </>
      )}
      {outcome}
    </Section>
  );
}
