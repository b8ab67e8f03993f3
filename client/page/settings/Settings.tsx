/** The settings as pages: the list of them at the side, or alone on a phone. */
import { useEffect, useRef, type ComponentType } from 'react';

import { useAuth } from 'alviar-client/react';
import { nameOf } from '../chat';
import { useText, type Word } from '../i18n';
import { Avatar } from '../ui/Avatar';
import { Icon, type IconName } from '../ui/icons';
import { Connection } from './Connection';
import { Data } from './Data';
import { Devices } from './Devices';
import { Notifications } from './Notifications';
import { Preferences } from './Preferences';
import { Privacy } from './Privacy';
import { Profile } from './Profile';
import { SecurityTimeline } from './SecurityTimeline';

const PAGES: ReadonlyArray<{ name: string; word: Word; icon: IconName; page: ComponentType }> = [
  { name: 'profile', word: 'profile', icon: 'user', page: Profile },
  { name: 'appearance', word: 'appearance', icon: 'sun', page: Appearance },
  { name: 'notifications', word: 'notifications', icon: 'bell', page: Notifications },
  { name: 'privacy', word: 'privacy', icon: 'lock', page: Privacy },
  { name: 'devices', word: 'devices', icon: 'device', page: Devices },
  { name: 'security', word: 'security', icon: 'shield', page: SecurityTimeline },
  { name: 'data', word: 'export', icon: 'download', page: Data },
  { name: 'connection', word: 'connectionDetails', icon: 'signal', page: Connection },
];

export function Settings({ section }: { section: string | undefined }) {
  const { t } = useText();
  const { user } = useAuth();
  const page = useRef<HTMLElement>(null);
  const shown = PAGES.find(({ name }) => name === section) ?? PAGES[0]!;
  const name = user ? nameOf(user, t) : '';

  // A screen reader is told that the page has changed.
  useEffect(() => {
    if (section) page.current?.focus();
  }, [section]);

  return (
    <div className="panes">
      <nav className="list" aria-label={t('settings')}>
        <div className="list-head">
          <h1>{t('settings')}</h1>
        </div>
        <div className="settings-who">
          <Avatar name={name} id={user?.id ?? 0} />
          <span className="row-text">
            <strong dir="auto">{name}</strong>
            <small dir="ltr">{user?.email}</small>
          </span>
        </div>
        <ul>
          {PAGES.map(({ name, word, icon }) => (
            <li key={name}>
              <a className="row setting" href={`#/settings/${name}`} aria-current={shown.name === name ? 'page' : undefined}>
                <Icon name={icon} />
                <span>{t(word)}</span>
                <Icon name="next" />
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <main className="sheet" id="main" tabIndex={-1} ref={page}>
        <section>
          <header className="sheet-head">
            <a className="back icon-button" href="#/settings" aria-label={t('back')}>
              <Icon name="back" />
            </a>
            <h1>{t(shown.word)}</h1>
          </header>
          <shown.page key={shown.name} />
        </section>
      </main>
    </div>
  );
}

function Appearance() {
  return (
    <div className="block">
      <Preferences labelled />
    </div>
  );
}
