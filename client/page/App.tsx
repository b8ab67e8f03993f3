/** Signed in or not: each is read when it is needed. */
import { ChatProvider, useAuth } from 'alviar-client/react';
import { indexedDbStore } from 'alviar-client/stores';
import { Blank, Messenger, SignIn } from './later';

/** Chats and what was typed are there again after a kill, also without a network. */
const kept = indexedDbStore();

export function App({ as }: { as: string | null }) {
  const { isLoading, isAuthenticated, sessionId } = useAuth();

  if (isLoading) return <Blank />;
  if (!isAuthenticated) return <SignIn as={as} />;
  return (
    <ChatProvider store={kept}>
      <Messenger key={sessionId} />
    </ChatProvider>
  );
}
