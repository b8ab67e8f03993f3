import { createRoot } from 'react-dom/client';

import { AuthProvider, ChatProvider, useAuth, useConversations } from 'alviar-client/react';
import { indexedDbStore } from 'alviar-client/stores';
import { tabSocket } from 'alviar-client/tabs';

const store = indexedDbStore();
const socket = tabSocket();

function Rooms() {
  return <ul>{useConversations().map(({ uuid, title }) => <li key={uuid}>{title}</li>)}</ul>;
}

function App() {
  const { isLoading, isAuthenticated, login } = useAuth();
  if (isLoading) return <p>Loading</p>;
  return isAuthenticated ? <Rooms /> : <button onClick={() => void login('alice', 'alviar-demo')}>Sign in</button>;
}

createRoot(document.getElementById('root')!).render(
  <AuthProvider baseUrl={location.origin} WebSocket={socket}>
    <ChatProvider store={store}>
      <App />
    </ChatProvider>
  </AuthProvider>,
);
