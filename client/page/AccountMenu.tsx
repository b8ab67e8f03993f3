import { useState } from 'react';

import { useAuth } from 'alviar-client/react';
import { nameOf } from './chat';
import { useText } from './i18n';
import { Preferences } from './settings/Preferences';
import { Avatar } from './ui/Avatar';
import { Icon } from './ui/icons';
import { Popover } from './ui/Popover';

/** Who is signed in; language, appearance, and the way out. */
export function AccountMenu({ onShortcuts }: { onShortcuts: () => void }) {
  const { t } = useText();
  const { user, logout } = useAuth();
  const [anchor, setAnchor] = useState<HTMLElement | null>(null);
  if (!user) return null;
  const name = nameOf(user, t);
  return (
    <>
      <button
        type="button"
        className="account"
        aria-label={`${t('account')}: ${user.username}`}
        title={name}
        aria-haspopup="dialog"
        aria-expanded={anchor !== null}
        onClick={(event) => setAnchor(event.currentTarget)}
      >
        <Avatar name={name} id={user.id} />
      </button>
      {anchor && (
        <Popover anchor={anchor} role="dialog" label={t('account')} className="account-menu" onClose={() => setAnchor(null)}>
          <div className="account-head">
            <Avatar name={name} id={user.id} />
            <div>
              <strong dir="auto">{name}</strong>
              <small className="me">{user.username}</small>
            </div>
          </div>
          <Preferences />
          <a className="menu-item" href="#/settings/profile" data-first onClick={() => setAnchor(null)}>
            <Icon name="user" /> {t('profile')}
          </a>
          <a className="menu-item" href="#/settings/devices" onClick={() => setAnchor(null)}>
            <Icon name="device" /> {t('devices')}
          </a>
          <button
            type="button"
            className="menu-item wide-only"
            onClick={() => {
              setAnchor(null);
              onShortcuts();
            }}
          >
            <Icon name="key" /> {t('shortcuts')}
          </button>
          <button type="button" className="menu-item bad" onClick={() => void logout()}>
            <Icon name="power" /> {t('signOut')}
          </button>
        </Popover>
      )}
    </>
  );
}
