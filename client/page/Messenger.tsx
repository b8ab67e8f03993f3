/** The whole of it for somebody who is signed in: the rail, the list, a conversation or the settings. */
import { useEffect, useRef, useState, useSyncExternalStore } from 'react';

import { useAuth, useChat, useConversation, useConversations, useUnread } from 'alviar-client/react';
import { AccountMenu } from './AccountMenu';
import { problemText } from './chat';
import { ConnectionBanner, ConnectionButton } from './ConnectionState';
import { Conversation } from './Conversation';
import { ConversationList } from './ConversationList';
import { useText } from './i18n';
import { Settings, Shortcuts } from './later';
import { useNotifications } from './notify';
import { usePushUpkeep } from './push';
import { useShortcuts } from './keys';
import { useCounting } from './tally';
import { Icon, type IconName } from './ui/icons';

function onHashChange(listener: () => void): () => void {
  addEventListener('hashchange', listener);
  return () => removeEventListener('hashchange', listener);
}

/** Where one is stands in the address (`#/chat/…`, `#/settings/devices`), so that Back works as on any page. */
function useRoute(): string[] {
  const read = () => location.hash;
  const hash = useSyncExternalStore(onHashChange, read, read);
  return hash.replace(/^#\/?/, '').split('/').filter(Boolean);
}

export function Messenger() {
  const { t } = useText();
  const [section = 'chat', uuid, seq] = useRoute();
  const conversation = useConversation(section === 'chat' ? uuid : undefined);
  const chat = useChat();
  const unread = useUnread();
  const [shortcuts, setShortcuts] = useState(false);
  const settings = section !== 'chat';
  useNotifications();
  usePushUpkeep();
  useCounting();
  useShortcuts(() => setShortcuts(true));
  useEffect(() => {
    document.title = unread > 0 ? `(${unread}) Alviar` : 'Alviar';
  }, [unread]);

  // An address that was kept, or of an archived conversation: not in the list.
  useEffect(() => {
    if (!settings && uuid && !conversation) void chat.reloadConversation(uuid).catch(() => {});
  }, [chat, settings, uuid]);

  const open = settings ? Boolean(uuid) || section !== 'settings' : Boolean(conversation);
  return (
    <div className="app" data-section={settings ? 'settings' : 'chat'} data-open={open}>
      <a
        className="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          (document.getElementById('messages') ?? document.getElementById('main'))?.focus();
        }}
      >
        {t(conversation ? 'skip' : 'skipToContent')}
      </a>
      <header className="rail">
        <img className="logo" src="/static/app/icon.svg" alt="" width="36" height="36" />
        <nav aria-label="Alviar">
          <RailLink to="chat" icon="chats" label={t('chats')} current={!settings} count={unread} />
          <RailLink to="settings" icon="settings" label={t('settings')} current={settings} />
        </nav>
        <ConnectionButton />
        <AccountMenu onShortcuts={() => setShortcuts(true)} />
      </header>
      <div className="body">
        <ConnectionBanner />
        <ConfirmMail />
        {settings ? (
          <Settings section={section === 'settings' ? uuid : section} />
        ) : (
          <div className="panes">
            <ConversationList selected={conversation?.uuid} />
            {conversation ? (
              <Conversation key={conversation.uuid} conversation={conversation} place={Number(seq) || null} />
            ) : (
              <Nothing />
            )}
          </div>
        )}
      </div>
      {shortcuts && <Shortcuts onClose={() => setShortcuts(false)} />}
    </div>
  );
}

function RailLink(props: { to: string; icon: IconName; label: string; current: boolean; count?: number }) {
  const { t } = useText();
  const { to, icon, label, current, count = 0 } = props;
  return (
    <a href={`#/${to}`} aria-current={current ? 'page' : undefined} title={label}>
      <span className="rail-icon">
        <Icon name={icon} />
        {count > 0 && (
          <span className="badge">
            <span aria-hidden="true">{count > 99 ? '99+' : count}</span>
            <span className="hidden">{t('unread', { n: count })}</span>
          </span>
        )}
      </span>
      <span>{label}</span>
    </a>
  );
}

/** No conversation is open: what one may do, or how to begin. */
function Nothing() {
  const { t } = useText();
  const any = useConversations().length > 0;
  return (
    <main className="nothing" id="main" tabIndex={-1}>
      <h1 className="hidden">{t('chats')}</h1>
      <div className="empty-state">
        <Icon name="chats" />
        <p>{t('choose')}</p>
        <small>{any ? t('shortcutsHint') : t('chooseAbout')}</small>
      </div>
    </main>
  );
}

/** Shown until the address has been confirmed. */
function ConfirmMail() {
  const { t } = useText();
  const { user, client } = useAuth();
  const [answer, setAnswer] = useState('');
  const [closed, setClosed] = useState(false);
  const strip = useRef<HTMLParagraphElement>(null);
  if (!user || user.email_verified !== false || closed) return null;
  const resend = () =>
    client.api<{ detail?: string }>('POST', '/api/auth/resend-verification/', {}).then(
      ({ detail }) => setAnswer(detail ?? t('linkSent')),
      (error: unknown) => setAnswer(problemText(error, t)),
    ).then(() => strip.current?.focus());
  return (
    <p className="strip" role="status" tabIndex={-1} ref={strip}>
      <span>{answer || t('confirmMail', { email: user.email })}</span>
      {!answer && (
        <button type="button" className="link" onClick={() => void resend()}>
          {t('sendAgain')}
        </button>
      )}
      <button type="button" className="icon-button" aria-label={t('close')} onClick={() => setClosed(true)}>
        <Icon name="close" />
      </button>
    </p>
  );
}
