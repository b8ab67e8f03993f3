/** The hook needs no more of `useAuth` than the guide names: an app's own context, or a test's, will do. */
import { act, cleanup, renderHook } from '@testing-library/react';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';

import { useWebSocketWithAuth } from '@/hooks/useWebSocketWithAuth';
import { FakeSocket } from '../support/fakes';

const context = vi.hoisted(() => ({
  ensureValidToken: vi.fn(),
  onTokenRefresh: vi.fn(),
  isTokenExpiringSoon: vi.fn(),
}));
vi.mock('@/contexts/AuthContext', () => ({ useAuth: () => context }));

let refreshed: (token: string) => void;
const unsubscribe = vi.fn();

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('WebSocket', FakeSocket);
  FakeSocket.all = [];
  FakeSocket.lively = false;
  context.ensureValidToken.mockReset().mockResolvedValue('token-1');
  context.isTokenExpiringSoon.mockReset().mockReturnValue(false);
  context.onTokenRefresh.mockReset().mockImplementation((callback: typeof refreshed) => ((refreshed = callback), unsubscribe));
  unsubscribe.mockReset();
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

it('connects, replaces its socket, checks the token, refreshes on 4401, and lets go', async () => {
  const onOpen = vi.fn();
  const onClose = vi.fn();
  const { result, unmount } = renderHook(() => useWebSocketWithAuth({ url: 'ws://x/', onOpen, onClose }));
  const settle = () => act(() => vi.advanceTimersByTimeAsync(0));
  await settle();
  expect(FakeSocket.last.protocols).toEqual(['access_token', 'token-1']);
  await act(async () => FakeSocket.last.open());
  expect(result.current.isConnected).toBe(true);

  await act(async () => refreshed('token-2'));
  const [old, next] = FakeSocket.all;
  expect(next!.token).toBe('token-2');
  expect(old!.closedWith).toBeUndefined();
  await act(async () => next!.open());
  expect(old!.closedWith).toBe(1000);
  expect(onOpen).toHaveBeenCalledTimes(2);
  expect(onClose).not.toHaveBeenCalled();

  context.isTokenExpiringSoon.mockReturnValue(true);
  context.ensureValidToken.mockResolvedValue('token-2');
  await act(() => vi.advanceTimersByTimeAsync(5 * 60_000));
  expect(context.isTokenExpiringSoon).toHaveBeenCalledWith(10);
  expect(context.ensureValidToken).toHaveBeenLastCalledWith(10);

  context.ensureValidToken.mockResolvedValue('token-3');
  await act(async () => next!.serverClose(4401));
  await settle();
  expect(FakeSocket.last.token).toBe('token-3');
  unmount();
  expect(unsubscribe).toHaveBeenCalled();
  expect(vi.getTimerCount()).toBe(0);
});
