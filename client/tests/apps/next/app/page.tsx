'use client';

import { ChatProvider, useAuth, useConversations } from 'alviar-client/react';
import { indexedDbStore } from 'alviar-client/stores';

const store = indexedDbStore();

function Rooms() {
  return <ul>{useConversations().map(({ uuid, title }) => <li key={uuid}>{title}</li>)}</ul>;
}

export default function Page() {
  const { isLoading, isAuthenticated, login } = useAuth();
  if (isLoading) return <p>Loading</p>;
  if (!isAuthenticated) return <button onClick={() => void login('alice', 'alviar-demo')}>Sign in</button>;
  return (
    <ChatProvider store={store}>
      <Rooms />
    </ChatProvider>
  );
}
