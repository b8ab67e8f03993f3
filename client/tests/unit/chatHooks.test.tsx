import { act, cleanup, renderHook } from '@testing-library/react';
import type { ReactNode } from 'react';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';

import {
  AuthProvider,
  ChatProvider,
  useAuth,
  useChat,
  useConnectionState,
  useConversations,
  useMessages,
  usePresence,
  useTyping,
  useUnread,
} from '@/react';
import { memoryStorage, type TokenStorage } from '@/core/storage';
import { conversation, created, FakeSocket, fakeFetch, message, pair } from '../support/fakes';

let server: ReturnType<typeof fakeFetch>;
let storage: TokenStorage;
let away: boolean;

const wrapper = ({ children }: { children: ReactNode }) => (
  <AuthProvider baseUrl="http://server" storage={storage} fetch={server.fetch}>
    <ChatProvider WebSocket={FakeSocket as never}>{children}</ChatProvider>
  </AuthProvider>
);
const settle = () => act(() => vi.advanceTimersByTimeAsync(0));
const serverDoes = (work: () => void) => act(async () => work());

function everything() {
  const messages = useMessages('k1');
  return {
    auth: useAuth(),
    chat: useChat(),
    conversations: useConversations(),
    typing: useTyping('k1'),
    presence: usePresence(2),
    unread: useUnread(),
    unreadHere: useUnread('k1'),
    state: useConnectionState(),
    ...messages,
  };
}

beforeEach(async () => {
  vi.useFakeTimers({ now: new Date('2026-11-21T10:00:00Z') });
  FakeSocket.all = [];
  FakeSocket.lively = true;
  away = false;
  const page = { results: Array.from({ length: 50 }, (_, i) => message('k1', i + 1)), has_more: true };
  const unlessAway = (body: unknown) => () => (away ? new TypeError('offline') : { body });
  server = fakeFetch({
    'GET /api/users/me/': unlessAway({ id: 1, username: 'alice' }),
    'GET /api/chat/conversations/': unlessAway({
      next: null,
      results: [conversation('k1', { last_seq: 50, seen_seq: 48, unread_count: 2 }), conversation('k2', { unread_count: 1 })],
    }),
    'GET /api/chat/conversations/k1/messages/?limit=50': unlessAway(page),
    'POST /api/auth/logout/': () => ({ body: {} }),
  });
  storage = memoryStorage();
  await storage.setItem('access_token', pair(1).access);
  await storage.setItem('refresh_token', 'refresh-1');
});
afterEach(() => {
  cleanup();
  vi.useRealTimers();
});

it('shows conversations, messages, typing, presence and unread counts, and follows what happens', async () => {
  const { result } = renderHook(everything, { wrapper });
  await settle();
  await settle();
  expect(result.current).toMatchObject({ state: 'open', unread: 3, unreadHere: 2, hasOlder: true, error: null, isLoading: false });
  expect(result.current.messages).toHaveLength(50);
  expect(FakeSocket.last.framesOf('presence')).toEqual([{ type: 'presence', user_ids: [2] }]);
  await serverDoes(() => {
    FakeSocket.last.frame({ type: 'presence', users: [{ user_id: 2, online: true, last_seen_at: null }] });
    FakeSocket.last.frame({ type: 'typing', conversation_uuid: 'k1', user_id: 2, active: true });
  });
  expect(result.current.presence?.online).toBe(true);
  expect(result.current.typing).toEqual([2]);
  const [first] = result.current.messages;
  await serverDoes(() => FakeSocket.last.events(created('k1', 51)));
  expect(result.current).toMatchObject({ unread: 4, unreadHere: 3, typing: [] });
  expect(result.current.messages).toHaveLength(51);
  expect(result.current.messages[0]).toBe(first);
  await act(async () => void result.current.send('Bonjour'));
  expect(result.current.messages.at(-1)).toMatchObject({ content: 'Bonjour', status: 'sending' });
});

it('renders again only for what it shows', async () => {
  let renders = 0;
  renderHook(() => (renders++, useTyping('k1')), { wrapper });
  await settle();
  const before = renders;
  await serverDoes(() => FakeSocket.last.frame({ type: 'typing', conversation_uuid: 'k2', user_id: 2, active: true }));
  expect(renders).toBe(before);
});

it('fills its list and its messages once there is a network, opened without one', async () => {
  away = true;
  FakeSocket.lively = false;
  const { result } = renderHook(everything, { wrapper });
  await settle();
  expect(result.current.conversations).toEqual([]);
  expect(result.current.error).not.toBeNull();
  away = false;
  await serverDoes(() => FakeSocket.last.greet());
  await settle();
  expect(result.current.conversations).toHaveLength(2);
  expect(result.current.messages).toHaveLength(50);
  expect(result.current.error).toBeNull();
});

it('asks for the presence of a whole list in one frame', async () => {
  const people = Array.from({ length: 30 }, (_, i) => i + 10);
  renderHook(() => people.map((id) => usePresence(id)), { wrapper });
  await settle();
  expect(FakeSocket.last.framesOf('presence')).toHaveLength(1);
  expect(FakeSocket.last.framesOf('presence')[0]!.user_ids).toHaveLength(30);
});

it('keeps every row of a long history the same object when one message comes, and one row only changes with its message', async () => {
  const { result } = renderHook(() => useChat(), { wrapper });
  await settle();
  const rows = () => result.current.timeline('k1');
  await serverDoes(() => FakeSocket.last.events(...Array.from({ length: 5_000 }, (_, i) => created('k1', i + 51))));
  const before = rows();
  await serverDoes(() => FakeSocket.last.events(created('k1', 5_051)));
  expect(rows()).toHaveLength(before.length + 1);
  expect(before.every((row, index) => rows()[index] === row)).toBe(true);
  await serverDoes(() =>
    FakeSocket.last.events({
      conversation_uuid: 'k1', seq: 5_052, kind: 'reaction.added', at: '', actor_id: 2,
      data: { message_uuid: 'k1-m100', emoji: '👍', user_id: 2 },
    }),
  );
  expect(rows().filter((row, index) => row !== before[index] && before[index])).toMatchObject([{ uuid: 'k1-m100' }]);
});
