import { useEffect, useMemo, useRef, useState } from 'react';

import { useAuth } from '@/contexts/AuthContext';
import { ChatClient } from '@/core/chatClient';
import { ChatContext, useConversations, useWatchedPresence } from './chat';
import { Conversation } from './Conversation';
import { ConversationList } from './ConversationList';
import { Devices } from './Devices';
import { useText } from './i18n';
import { Preferences } from './Preferences';
import { SecurityTimeline } from './SecurityTimeline';
import { SignIn } from './SignIn';
import { StatusBar } from './StatusBar';

export function App() {
  const { isLoading, isAuthenticated, client, sessionId } = useAuth();
  const chat = useMemo(() => new ChatClient({ auth: client }), [client]);
  useEffect(() => chat.close, [chat]);

  if (isLoading) return <main className="blank" aria-busy="true" />;
  if (!isAuthenticated) return <SignIn />;
  return (
    <ChatContext.Provider value={chat}>
      <Messenger key={sessionId} chat={chat} />
    </ChatContext.Provider>
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

function Messenger({ chat }: { chat: ChatClient }) {
  const { t } = useText();
  const { user, logout } = useAuth();
  const [section = 'chat', uuid] = useRoute();
  const conversations = useConversations();
  const conversation = conversations.find((each) => each.uuid === uuid);
  const page = useRef<HTMLElement>(null);
  useWatchedPresence();

  useEffect(() => {
    // The list may fail to load (offline): the socket tries by itself, the list is read when it is open.
    const stop = chat.on('hello', () => void chat.loadConversations().catch(() => {}));
    void chat.connect().catch(() => {});
    return () => {
      stop();
      chat.disconnect();
    };
  }, [chat]);

  const unread = conversations.reduce((sum, each) => sum + each.unread_count, 0);
  useEffect(() => {
    document.title = unread > 0 ? `(${unread}) Alviar` : 'Alviar';
  }, [unread]);

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
      <a className="skip" href="#messages" onClick={(event) => {
        event.preventDefault();
        document.getElementById('messages')?.focus();
      }}>
        {t('skip')}
      </a>
      <header className="bar">
        <strong className="brand">Alviar</strong>
        <nav aria-label="Alviar">
          {tab('chat', t('chats'))}
          {tab('devices', t('devices'))}
          {tab('security', t('security'))}
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
      {section === 'chat' ? (
        <div className="panes">
          <ConversationList selected={conversation?.uuid} />
          {conversation ? (
            <Conversation key={conversation.uuid} conversation={conversation} />
          ) : (
            <main className="empty">
              <p>{t('choose')}</p>
            </main>
          )}
        </div>
      ) : (
        <main className="sheet" tabIndex={-1} ref={page}>
          {section === 'devices' ? <Devices /> : <SecurityTimeline />}
        </main>
      )}
    </div>
  );
}
