/** Signed in or not: each is read when it is needed. */
import { useLayoutEffect, useRef } from 'react';

import { ChatProvider, useAuth } from 'alviar-client/react';
import { indexedDbStore } from 'alviar-client/stores';
import { forget } from './forget';
import { Blank, Messenger, SignIn } from './later';

/** Chats and what was typed are there again after a kill, also without a network. */
const kept = indexedDbStore();

export function App({ as }: { as: string | null }) {
  const { client, isLoading, isAuthenticated, sessionId, user } = useAuth();
  const last = useRef<number | undefined>(undefined);
  if (user) last.current = user.id;
  // Before the next person sees anything, also where one sign-in takes the place of another.
  useLayoutEffect(() => client.onSignOut(() => forget(last.current)), [client]);

  if (isLoading) return <Blank />;
  if (!isAuthenticated) return <SignIn as={as} />;
  return (
    <ChatProvider store={kept}>
      <Messenger key={sessionId} />
    </ChatProvider>
  );
}
