import { act, cleanup, render, renderHook } from '@testing-library/react';
import { StrictMode, useEffect, useState, type ReactNode } from 'react';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { AuthProvider, useAuth } from '@/contexts/AuthContext';
import { ChatClient } from '@/core/chatClient';
import { MINUTE_MS } from '@/core/constants';
import { memoryStorage } from '@/core/storage';
import { useWebSocketWithAuth, type UseWebSocketWithAuthOptions } from '@/hooks/useWebSocketWithAuth';
import { created, FakeSocket, fakeFetch, pair } from '../support/fakes';
import ConversationDirect from '../../examples/app/(tabs)/conversation-direct';
import ConversationGroup from '../../examples/app/(tabs)/conversation-group';
import { ChatScreenProvider, useChatScreen } from '../../examples/contexts/ChatScreenContext';
import { MyComponent } from '../../examples/MyComponent';
import { Params } from '../../examples/stubs/expo-router';

const URL = 'ws://server/ws/chat/';

let count: number;
let server: ReturnType<typeof fakeFetch>;
let storage: ReturnType<typeof memoryStorage>;

async function signedInStorage() {
  storage = memoryStorage();
  const first = pair(1);
  await storage.setItem('access_token', first.access);
  await storage.setItem('refresh_token', first.refresh);
}

const wrapper = ({ children }: { children: ReactNode }) => (
  <AuthProvider baseUrl="http://server" storage={storage} fetch={server.fetch}>
    {children}
  </AuthProvider>
);

const settle = () => act(() => vi.advanceTimersByTimeAsync(0));
const advance = (ms: number) => act(() => vi.advanceTimersByTimeAsync(ms));
const serverDoes = (work: () => void) => act(async () => work());

beforeEach(async () => {
  vi.useFakeTimers({ now: new Date('2026-11-21T10:00:00Z') });
  vi.stubGlobal('WebSocket', FakeSocket);
  FakeSocket.all = [];
  FakeSocket.lively = false;
  count = 1;
  server = fakeFetch({
    'POST /api/auth/token/refresh/': () => ({ body: pair(++count) }),
    'POST /api/auth/login/': () => ({ body: pair(++count) }),
    'POST /api/auth/logout/': () => ({ body: { success: true } }),
    'GET /api/users/me/': () => ({ body: { id: 1, username: 'alice' } }),
    'GET /api/chat/conversations/k1/messages/': () => ({ body: { results: [], has_more: false } }),
  });
  await signedInStorage();
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

function hook(options: Partial<UseWebSocketWithAuthOptions> = {}, strict = false) {
  return renderHook((props: Partial<UseWebSocketWithAuthOptions>) => {
    const auth = useAuth();
    return { auth, ...useWebSocketWithAuth({ url: URL, ...options, ...props }) };
  }, {
    wrapper: strict ? ({ children }) => <StrictMode>{wrapper({ children })}</StrictMode> : wrapper,
    initialProps: {} as Partial<UseWebSocketWithAuthOptions>,
  });
}

describe('useAuth', () => {
  it('has what the guide names, and reads the stored sign-in', async () => {
    const { result } = renderHook(() => useAuth(), { wrapper });
    expect(result.current.isLoading).toBe(true);
    await settle();
    expect(result.current.isLoading).toBe(false);
    expect(result.current.user?.username).toBe('alice');
    expect(result.current.isTokenExpiringSoon()).toBe(false);
    expect(await result.current.ensureValidToken()).toBe(result.current.accessToken);
    const heard = vi.fn();
    const unsubscribe = result.current.onTokenRefresh(heard);
    await act(() => result.current.refresh());
    expect(heard).toHaveBeenCalledWith(result.current.accessToken);
    unsubscribe();
    await act(() => result.current.logout());
    expect(result.current.isAuthenticated).toBe(false);
    await act(() => result.current.login('alice', 'secret'));
    expect(result.current.isAuthenticated).toBe(true);
  });

  it('refuses to work outside of its provider', () => {
    vi.spyOn(console, 'error').mockImplementation(() => {});
    expect(() => renderHook(() => useAuth())).toThrow(/AuthProvider/);
  });

  it('leaves no timer behind when the provider unmounts', async () => {
    const { unmount } = renderHook(() => useAuth(), { wrapper });
    await settle();
    unmount();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('useWebSocketWithAuth', () => {
  it('connects by itself, with the token as subprotocol', async () => {
    const { result } = hook();
    await settle();
    expect(FakeSocket.last.protocols).toEqual(['access_token', result.current.auth.accessToken]);
    expect(result.current.isConnected).toBe(false);
    await serverDoes(() => FakeSocket.last.open());
    expect(result.current.isConnected).toBe(true);
    expect(result.current.websocket).toBe(FakeSocket.last);
  });

  it('waits for connect when autoConnect is false', async () => {
    const { result } = hook({ autoConnect: false });
    await settle();
    expect(FakeSocket.all).toHaveLength(0);
    act(() => result.current.connect());
    await settle();
    expect(FakeSocket.all).toHaveLength(1);
    await serverDoes(() => FakeSocket.last.open());
    act(() => result.current.disconnect());
    expect(FakeSocket.last.closedWith).toBe(1000);
    expect(result.current).toMatchObject({ isConnected: false, websocket: null });
  });

  it('connects when somebody signs in and closes when they sign out', async () => {
    storage = memoryStorage();
    const { result } = hook();
    await settle();
    expect(FakeSocket.all).toHaveLength(0);
    await act(() => result.current.auth.login('alice', 'secret'));
    await settle();
    expect(FakeSocket.all).toHaveLength(1);
    await serverDoes(() => FakeSocket.last.greet());
    await act(() => result.current.auth.logout());
    expect(FakeSocket.last.closedWith).toBe(1000);
    expect(result.current.isConnected).toBe(false);
  });

  it('connects anew when another person signs in over the first', async () => {
    let sid = 's1';
    server = fakeFetch({ 'POST /api/auth/login/': () => ({ body: pair(++count, { sid }) }) });
    storage = memoryStorage();
    const { result } = hook();
    await settle();
    for (sid of ['s1', 's2']) {
      await act(() => result.current.auth.login('alice', 'secret'));
      await settle();
      await serverDoes(() => FakeSocket.last.greet());
    }
    expect(FakeSocket.all).toHaveLength(2);
    expect(FakeSocket.all[0]!.closedWith).toBe(1000);
    expect(FakeSocket.last.token).toBe(result.current.auth.accessToken);
    expect(result.current.isConnected).toBe(true);
  });

  it('has set websocket before onOpen runs, and send works inside it, after what was sent earlier', async () => {
    const seen: unknown[] = [];
    const { result } = renderHook(
      () => {
        const all = useWebSocketWithAuth({
          url: URL,
          onOpen: (socket) => {
            seen.push(all.websocket === socket, all.isConnected);
            all.send('from onOpen');
          },
          onMessage: (event) => seen.push(event.data),
        });
        return all;
      },
      { wrapper },
    );
    act(() => void result.current.send('early'));
    await settle();
    await serverDoes(() => {
      FakeSocket.last.open();
      FakeSocket.last.onmessage!(new MessageEvent('message', { data: 'first' }));
    });
    expect(seen).toEqual([true, true, 'first']);
    expect(FakeSocket.last.sent).toEqual(['early', 'from onOpen']);
  });

  it('runs onOpen for the replacing socket and not onClose for the replaced one', async () => {
    const onOpen = vi.fn();
    const onClose = vi.fn();
    const events: number[] = [];
    const { result } = hook({
      onOpen,
      onClose,
      onMessage: (event) => {
        const frame = JSON.parse(event.data as string) as { events?: Array<{ seq: number }> };
        events.push(...(frame.events ?? []).map(({ seq }) => seq));
      },
    });
    await settle();
    const old = FakeSocket.last;
    await serverDoes(() => old.greet());
    await serverDoes(() => old.events(created('a', 1)));
    await act(() => result.current.auth.refresh());
    await settle();
    const next = FakeSocket.last;
    expect(next).not.toBe(old);
    await serverDoes(() => next.greet());
    await serverDoes(() => {
      old.events(created('a', 2));
      next.events(created('a', 2), created('a', 3));
      next.frame({ type: 'resumed' });
    });
    expect(onOpen).toHaveBeenCalledTimes(2);
    expect(onClose).not.toHaveBeenCalled();
    expect(old.closedWith).toBe(1000);
    expect(result.current.websocket).toBe(next);
    expect(events).toEqual([1, 2, 3]);
  });

  it('refreshes by itself and reconnects, for two hours, without one onClose', async () => {
    const onClose = vi.fn();
    FakeSocket.lively = true;
    hook({ onClose });
    await advance(120 * MINUTE_MS);
    expect(onClose).not.toHaveBeenCalled();
    expect(server.to('/api/auth/token/refresh/').length).toBe(2);
    expect(FakeSocket.all).toHaveLength(3);
  });

  it('makes five more attempts by default and then rests', async () => {
    const { result } = hook();
    await settle();
    for (let i = 0; i < 20; i++) {
      await serverDoes(() => FakeSocket.last.readyState !== 3 && FakeSocket.last.serverClose(1006));
      await advance(9_000);
    }
    expect(FakeSocket.all).toHaveLength(6);
    act(() => result.current.connect());
    await settle();
    expect(FakeSocket.all).toHaveLength(7);
  });

  it('signs out on 4503', async () => {
    const onClose = vi.fn();
    const { result } = hook({ onClose });
    await settle();
    await serverDoes(() => FakeSocket.last.greet());
    await serverDoes(() => FakeSocket.last.serverClose(4503));
    expect(onClose).toHaveBeenCalledTimes(1);
    expect(result.current.auth.isAuthenticated).toBe(false);
    expect(result.current.auth.signedOutReason).toBe('session_revoked');
  });

  it('calls the newest callbacks without a new connection', async () => {
    const first = vi.fn();
    const second = vi.fn();
    const { rerender } = hook({ onMessage: first });
    await settle();
    await serverDoes(() => FakeSocket.last.open());
    rerender({ onMessage: second });
    await serverDoes(() => FakeSocket.last.onmessage!(new MessageEvent('message', { data: 'x' })));
    expect(first).not.toHaveBeenCalled();
    expect(second).toHaveBeenCalledTimes(1);
    expect(FakeSocket.all).toHaveLength(1);
  });

  it('reconnects when the address changes', async () => {
    const { rerender } = hook();
    await settle();
    await serverDoes(() => FakeSocket.last.open());
    const old = FakeSocket.last;
    rerender({ url: 'ws://server/ws/other/' });
    await settle();
    expect(old.closedWith).toBe(1000);
    expect(FakeSocket.last.url).toBe('ws://server/ws/other/');
  });

  it('opens one socket under StrictMode', async () => {
    const onOpen = vi.fn();
    const { result } = hook({ onOpen }, true);
    await settle();
    expect(FakeSocket.all.filter((socket) => socket.closedWith === undefined)).toHaveLength(1);
    await serverDoes(() => FakeSocket.last.open());
    expect(result.current.isConnected).toBe(true);
    expect(onOpen).toHaveBeenCalledTimes(1);
  });

  it('closes at unmount, tells onClose once and leaves no timer', async () => {
    const error = vi.spyOn(console, 'error').mockImplementation(() => {});
    const onClose = vi.fn();
    const onMessage = vi.fn();
    const { unmount } = hook({ onClose, onMessage });
    await settle();
    await serverDoes(() => FakeSocket.last.greet());
    onMessage.mockClear();
    unmount();
    expect(FakeSocket.last.closedWith).toBe(1000);
    expect(onClose).toHaveBeenCalledTimes(1);
    FakeSocket.last.events(created('a', 1));
    await vi.advanceTimersByTimeAsync(60 * MINUTE_MS);
    expect(onMessage).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
    expect(error).not.toHaveBeenCalled();
  });

  it('opens nothing when it is unmounted while the token comes', async () => {
    const { unmount } = hook();
    unmount();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(FakeSocket.all).toHaveLength(0);
  });
});

it('shares one socket between all hooks and the chat client, each with its own beginning and end', async () => {
  FakeSocket.lively = true;
  const log: string[] = [];
  const note = (name: string) => ({
    url: URL,
    onOpen: () => log.push(`${name} open`),
    onClose: () => log.push(`${name} close`),
    onMessage: (event: MessageEvent) => log.push(`${name} ${(JSON.parse(event.data as string) as { type: string }).type}`),
  });
  let chat: ChatClient;
  const { result, rerender } = renderHook(
    ({ second }: { second: boolean }) => {
      const auth = useAuth();
      const first = useWebSocketWithAuth(note('a'));
      return { auth, first, other: useWebSocketWithAuth({ ...note('b'), autoConnect: second }) };
    },
    { wrapper, initialProps: { second: false } },
  );
  await settle();
  await settle();
  expect(FakeSocket.all).toHaveLength(1);
  rerender({ second: true });
  await settle();
  chat = new ChatClient({ auth: result.current.auth.client, url: URL });
  chat.connect().catch(() => {});
  await settle();
  expect(FakeSocket.all).toHaveLength(1);
  expect(chat.hello?.session_id).toBe('s1');
  expect(result.current.other.websocket).toBe(result.current.first.websocket);
  await serverDoes(() => FakeSocket.last.events(created('a', 1)));
  expect(log).toEqual(['a open', 'a hello', 'b open', 'b hello', 'a events', 'b events']);
  act(() => result.current.first.disconnect());
  expect(result.current.first).toMatchObject({ isConnected: false, state: 'idle' });
  expect(result.current.other.isConnected).toBe(true);
  expect(FakeSocket.last.closedWith).toBeUndefined();
  expect(log.at(-1)).toBe('a close');
  act(() => result.current.other.disconnect());
  chat.close();
  expect(FakeSocket.last.closedWith).toBe(1000);
});

it('shows that it has given up, and why', async () => {
  const { result } = hook({ maxReconnectAttempts: 0 });
  await settle();
  await serverDoes(() => FakeSocket.last.serverClose(1006));
  expect(result.current).toMatchObject({ state: 'stopped', gaveUp: true, lastError: { code: 1006 } });
});

it('sends nothing that was typed after a logout, to nobody', async () => {
  const { result } = hook();
  await settle();
  await serverDoes(() => FakeSocket.last.greet());
  await act(() => result.current.auth.logout());
  expect(result.current.send('typed after the logout')).toBe(false);
  await act(() => result.current.auth.login('bob', 'secret'));
  await settle();
  await serverDoes(() => FakeSocket.last.greet());
  expect(FakeSocket.last.sent).toEqual([]);
});

it('runs the component that the guide prints', async () => {
  const view = render(<MyComponent />, { wrapper });
  const button = view.getByRole('button', { name: 'Envoyer' }) as HTMLButtonElement;
  expect(button.disabled).toBe(true);
  await settle();
  await serverDoes(() => FakeSocket.last.open());
  expect(button.disabled).toBe(false);
  act(() => button.click());
  expect(FakeSocket.last.frames).toEqual([{ type: 'message', content: 'Hello!' }]);
});

describe('the conversation screens of the guide', () => {
  function Shown() {
    const { websocket, currentConversationId } = useChatScreen();
    return <output>{`${websocket ? 'socket' : 'none'} ${currentConversationId}`}</output>;
  }
  let showScreen: (shown: boolean) => void = () => {};
  function App({ screen }: { screen: ReactNode }) {
    const [shown, setShown] = useState(true);
    useEffect(() => void (showScreen = setShown), []);
    return (
      <AuthProvider baseUrl="http://server" storage={storage} fetch={server.fetch}>
        <ChatScreenProvider>
          <Params.Provider value={{ conversationId: 'k1' }}>{shown && screen}</Params.Provider>
          <Shown />
        </ChatScreenProvider>
      </AuthProvider>
    );
  }

  it.each([
    ['direct', <ConversationDirect key="d" />],
    ['group', <ConversationGroup key="g" />],
  ])('%s: opens, marks as seen, shows what comes, survives a refresh, cleans up', async (_name, screen) => {
    FakeSocket.lively = true;
    const view = render(<App screen={screen} />);
    await settle();
    expect(FakeSocket.last.framesOf('mark_as_seen')).toEqual([{ type: 'mark_as_seen', conversation_uuid: 'k1' }]);
    expect(view.getByRole('status').textContent).toBe('socket k1');
    expect(view.getByTestId('state').textContent).toBe('connected');
    await serverDoes(() => FakeSocket.last.events(created('k1', 1, { content: 'Bonjour' })));
    expect(view.getByText(/Bonjour/)).toBeTruthy();

    const old = FakeSocket.last;
    await advance(57 * MINUTE_MS);
    expect(FakeSocket.last).not.toBe(old);
    expect(view.getByTestId('state').textContent).toBe('connected');
    expect(view.getByRole('status').textContent).toBe('socket k1');

    act(() => showScreen(false));
    await settle();
    expect(FakeSocket.last.closedWith).toBe(1000);
    expect(view.getByRole('status').textContent).toBe('none null');
  });

  it('keep their socket until the new one is open, although their effect disconnects and connects at every refresh', async () => {
    const view = render(<App screen={<ConversationDirect />} />);
    await settle();
    await serverDoes(() => FakeSocket.last.greet());
    const old = FakeSocket.last;
    vi.setSystemTime(Date.now() + 58 * MINUTE_MS);
    await act(async () => void window.dispatchEvent(new Event('online')));
    await settle();
    expect(FakeSocket.all).toHaveLength(2);
    expect(old.closedWith).toBeUndefined();
    await serverDoes(() => FakeSocket.last.greet());
    await serverDoes(() => FakeSocket.last.frame({ type: 'resumed' }));
    expect(old.closedWith).toBe(1000);
    expect(FakeSocket.all).toHaveLength(2);
    expect(view.getByRole('status').textContent).toBe('socket k1');
  });
});
