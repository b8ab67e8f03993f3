// @vitest-environment happy-dom
// @vitest-environment-options { "settings": { "fetch": { "disableSameOriginPolicy": true } } }
/** Seed 1's conversation screens, as an Expo app has them, against a real server process. */
import { act, cleanup, fireEvent, render } from '@testing-library/react';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import WebSocket from 'ws';

import { AuthClient } from '@/core/auth';
import { ChatClient } from '@/core/chatClient';
import { memoryStorage } from '@/core/storage';
import { useAuth } from '@/contexts/AuthContext';
import RootLayout from '../../examples/app/_layout';
import ConversationDirect from '../../examples/app/(tabs)/conversation-direct';
import ConversationGroup from '../../examples/app/(tabs)/conversation-group';
import { server as exampleServer } from '../../examples/config';
import { Params, Route } from '../../examples/stubs/expo-router';
import { beginAgainClean } from '../support/attempts';
import { startServer, until } from '../support/server';

const server = await startServer();
beginAgainClean(server);
const PASSWORD = 'alviar-demo';
let app: ReturnType<typeof useAuth>;

function Session() {
  app = useAuth();
  return null;
}

beforeAll(() => {
  vi.stubGlobal('WebSocket', WebSocket);
  if (server) exampleServer.baseUrl = server.url;
});
afterEach(cleanup);
afterAll(() => server?.remove());

/** Lets React work while something real happens. */
const eventually = <Value,>(what: string, look: () => Value) =>
  until(what, async () => {
    await act(() => new Promise((done) => setTimeout(done, 20)));
    return look();
  });

describe.skipIf(!server)('the example screens', () => {
  it.each([
    ['direct', ConversationDirect],
    ['group', ConversationGroup],
  ])('%s: shows what the other writes, sends, survives a refresh', async (kind, Screen) => {
    const bob = new AuthClient({ baseUrl: server!.url, storage: memoryStorage() });
    await bob.login('bob', PASSWORD);
    const chat = new ChatClient({ auth: bob, WebSocket: WebSocket as never });
    const alice = (await chat.searchPeople('alice'))[0]!;
    const conversation =
      kind === 'direct' ? await chat.openDirect(alice.id) : await chat.createGroup('Friends', [alice.id]);
    await chat.connect();

    const view = render(
      <Route.Provider
        value={
          <>
            <Session />
            <Params.Provider value={{ conversationId: conversation.uuid }}>
              <Screen />
            </Params.Provider>
          </>
        }
      >
        <RootLayout />
      </Route.Provider>,
    );
    await act(() => app.login('alice', PASSWORD));
    await eventually('connected', () => view.getByTestId('state').textContent === 'connected');

    chat.sendMessage(conversation.uuid, `Bonjour ${kind}`);
    await eventually('bob’s message is shown', () => view.queryByText(new RegExp(`Bonjour ${kind}`)));

    await act(async () => void (await app.refresh()));
    await eventually('still connected', () => view.getByTestId('state').textContent === 'connected');
    fireEvent.change(view.getByLabelText('message'), { target: { value: `Salut ${kind}` } });
    fireEvent.click(view.getByText('Send'));
    await until('bob has the answer', () => chat.timeline(conversation.uuid).find((m) => m.content === `Salut ${kind}`));
    await eventually('the own message is shown', () => view.queryByText(new RegExp(`Salut ${kind}`)));
    expect(view.getAllByText(new RegExp(kind))).toHaveLength(2);
    await act(() => app.logout());
    chat.close();
  });
});
