import { useEffect, useRef, useState } from 'react';

import { ChatProvider, useAuth, useChat, useConversation, useUnread } from 'alviar-client/react';
import { indexedDbStore } from 'alviar-client/stores';
import { problemText } from './chat';
import { drafts } from './Composer';
import { Conversation } from './Conversation';
import { ConversationList } from './ConversationList';
import { Devices } from './Devices';
import { useText } from './i18n';
import { useNotifications } from './notify';
import { Preferences } from './Preferences';
import { SecurityTimeline } from './SecurityTimeline';
import { Settings } from './Settings';
import { SignIn } from './SignIn';
import { StatusBar } from './StatusBar';

/** Chats and what was typed are there again after a kill, also without a network. */
const kept = indexedDbStore();

export function App({ as }: { as: string | null }) {
  const { isLoading, isAuthenticated, sessionId } = useAuth();

  if (isLoading) return <main className="blank" aria-busy="true" />;
  if (!isAuthenticated) return <SignIn as={as} />;
  return (
    <ChatProvider store={kept}>
      <Messenger key={sessionId} />
    </ChatProvider>
  );
}

/** Where one is stands in the address (`#/chat/…`, `#/devices`), so that Back works as on any page. */
export function useRoute(): string[] {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const changed = () => setHash(location.hash);
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  return hash.replace(/^#\/?/, '').split('/').filter(Boolean);
}

function Messenger() {
  const { t } = useText();
  const { user, logout } = useAuth();
  const [section = 'chat', uuid, seq] = useRoute();
  const conversation = useConversation(section === 'chat' ? uuid : undefined);
  const chat = useChat();
  const unread = useUnread();
  const page = useRef<HTMLElement>(null);
  useNotifications();
  // Nothing of one person stays for the next.
  useEffect(() => () => drafts.clear(), []);

  useEffect(() => {
    document.title = unread > 0 ? `(${unread}) Alviar` : 'Alviar';
  }, [unread]);

  // An address that was kept, or of an archived conversation: not in the list.
  useEffect(() => {
    if (section === 'chat' && uuid && !conversation) void chat.reloadConversation(uuid).catch(() => {});
  }, [chat, section, uuid]);

  // A screen reader is told that the page has changed.
  useEffect(() => {
    if (section !== 'chat') page.current?.focus();
  }, [section]);

  const tab = (name: string, label: string) => (
    <a href={`#/${name}`} aria-current={section === name ? 'page' : undefined}>
      {label}
    </a>
  );
  return (
    <div className="app" data-section={section} data-open={conversation ? 'true' : 'false'}>
      <a className="skip" href="#main" onClick={(event) => {
        event.preventDefault();
        (document.getElementById('messages') ?? document.getElementById('main'))?.focus();
      }}>
        {t(conversation ? 'skip' : 'skipToContent')}
      </a>
      <header className="bar">
        <strong className="brand">Alviar</strong>
        <nav aria-label="Alviar">
          {tab('chat', t('chats'))}
          {tab('devices', t('devices'))}
          {tab('security', t('security'))}
          {tab('settings', t('settings'))}
        </nav>
        <StatusBar />
        <Preferences />
        <span className="me">{user?.username}</span>
        <button type="button" className="quiet" aria-label={t('signOut')} onClick={() => void logout()}>
          <span className="wide">{t('signOut')}</span>
          <span className="narrow" aria-hidden="true">
            ⏻
          </span>
        </button>
      </header>
      <ConfirmMail />
      {section === 'chat' ? (
        <div className="panes">
          <ConversationList selected={conversation?.uuid} />
          {conversation ? (
            <Conversation key={conversation.uuid} conversation={conversation} place={Number(seq) || null} />
          ) : (
            <main className="empty" id="main" tabIndex={-1}>
              <h1 className="hidden">{t('chats')}</h1>
              <p>{t('choose')}</p>
            </main>
          )}
        </div>
      ) : (
        <main className="sheet" id="main" tabIndex={-1} ref={page}>
          {section === 'devices' ? <Devices /> : section === 'settings' ? <Settings /> : <SecurityTimeline />}
        </main>
      )}
    </div>
  );
}

/** Shown until the address has been confirmed. */
function ConfirmMail() {
  const { t } = useText();
  const { user, client } = useAuth();
  const [answer, setAnswer] = useState('');
  if (!user || user.email_verified !== false) return null;
  const resend = () =>
    client.api<{ detail?: string }>('POST', '/api/auth/resend-verification/', {}).then(
      ({ detail }) => setAnswer(detail ?? t('linkSent')),
      (error: unknown) => setAnswer(problemText(error, t)),
    );
  return (
    <p className="strip" role="status">
      {answer || t('confirmMail', { email: user.email })}{' '}
      {!answer && (
        <button type="button" className="link" onClick={() => void resend()}>
          {t('sendAgain')}
        </button>
      )}
    </p>
  );
}
