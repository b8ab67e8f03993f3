/** How the connection is: a dot in the rail, and a line over everything while something is wrong. */
import { useEffect, useState } from 'react';

import { ConnectionState } from 'alviar-client';
import { useChat, useConnectionState } from 'alviar-client/react';
import { useText } from './i18n';
import { Icon } from './ui/icons';

/** A dot in the rail that says how the connection is; it leads to the page that says more. */
export function ConnectionButton() {
  const { t } = useText();
  const state = useConnectionState();
  return (
    <>
      <span role="status" className="hidden">
        {t(`state_${state}`)}
      </span>
      <a className="connection" href="#/settings/connection" title={t(`state_${state}`)} aria-label={`${t('connectionDetails')}: ${t(`state_${state}`)}`}>
        <span className="pill" data-state={state} />
      </a>
    </>
  );
}

/** What the connection does, in words and over everything, while it is not as it should be. */
export function ConnectionBanner() {
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
  const trying = state === ConnectionState.Connecting;
  return (
    <p className="strip offline" role="status" hidden={!shown || !away}>
      {shown && away && (
        <>
          <Icon name={trying ? 'clock' : 'warn'} />
          <span>{t(trying ? 'connectingAgain' : 'notConnected')}</span>
          {!trying && (
            <button type="button" className="link" onClick={() => chat.connection.connect()}>
              {t('connectNow')}
            </button>
          )}
        </>
      )}
    </p>
  );
}
