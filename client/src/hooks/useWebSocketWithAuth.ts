'use client';

import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react';

import { useAuth, type AuthContextType } from '../contexts/AuthContext.js';
import { ConnectionState, type TokenSource } from '../core/connection.js';
import type { ConnectionError } from '../core/errors.js';
import type { SocketClose, SocketEvent, SocketMessage, SocketObject } from '../core/platform.js';
import { Share } from '../core/share.js';

export interface UseWebSocketWithAuthOptions {
  url: string;
  /** Each chat event once and in order, also while one socket replaces another. */
  onMessage?: (event: SocketMessage) => void;
  /** Runs once `websocket` is set; also for the socket that replaces another after a token refresh. */
  onOpen?: (websocket: SocketObject) => void;
  /** The connection is lost or closed. Does not run for a socket that has been replaced. */
  onClose?: (event: SocketClose) => void;
  onError?: (error: SocketEvent) => void;
  /** Connect by itself as soon as somebody is signed in. */
  autoConnect?: boolean;
  /** Reconnects in a row without success before it gives up (5); `Infinity` for no limit. */
  maxReconnectAttempts?: number;
}

export interface UseWebSocketWithAuthResult {
  websocket: SocketObject | null;
  /**
   * What is sent before the opening waits for it; a chat message waits for its `ack`. True when it went out now.
   * With nobody signed in it is refused.
   */
  send: (data: string) => boolean;
  isConnected: boolean;
  connect: () => void;
  disconnect: () => void;
  state: ConnectionState;
  /** No attempt will follow by itself; `connect` begins anew. */
  gaveUp: boolean;
  /** Why it is not connected, or was not the last time. */
  lastError: ConnectionError | null;
}

interface View {
  websocket: SocketObject | null;
  state: ConnectionState;
  lastError: ConnectionError | null;
  /** Counts openings, so that each gets its effect even where one socket follows another within a render. */
  openings: number;
}

/** All hooks with one account and one address share one socket. */
export function useWebSocketWithAuth(options: UseWebSocketWithAuthOptions): UseWebSocketWithAuthResult {
  const { url, autoConnect = true, maxReconnectAttempts } = options;
  const auth = useAuth();
  const signedIn = auth.accessToken !== null;
  // Another sign-in over this one has closed the connection: it is made anew.
  const { sessionId } = auth;
  const [view, setView] = useState<View>({ websocket: null, state: ConnectionState.Idle, lastError: null, openings: 0 });

  const latest = useRef({ options, auth });
  useLayoutEffect(() => {
    latest.current = { options, auth };
  });
  const client = auth.client as AuthContextType['client'] | undefined;
  const source = useMemo(() => client ?? tokenSource(() => latest.current.auth), [client]);

  const share = useRef<Share | null>(null);
  const connectWanted = useRef(false);
  const unsent = useRef<string[]>([]);
  // `onOpen` reads what its render knows, such as `websocket`, so it runs after that render; what comes
  // in between waits behind it.
  const waiting = useRef<Array<() => void> | null>(null);

  useEffect(() => {
    const made = new Share({ url, auth: source, ...(maxReconnectAttempts !== undefined && { maxReconnectAttempts }) });
    const { connection } = made;
    const inTurn = (work: () => void) => {
      if (waiting.current) waiting.current.push(work);
      else work();
    };
    made.on('state', (state) => setView((before) => ({ ...before, state, lastError: connection.lastError })));
    made.on('open', (websocket) => {
      (waiting.current ??= []).push(() => latest.current.options.onOpen?.(websocket));
      setView((before) => ({ ...before, websocket, openings: before.openings + 1 }));
    });
    made.on('message', (event) => inTurn(() => latest.current.options.onMessage?.(event)));
    made.on('error', (event) => inTurn(() => latest.current.options.onError?.(event)));
    made.on('close', (event) => {
      setView((before) => ({ ...before, websocket: null }));
      inTurn(() => latest.current.options.onClose?.(event));
    });
    share.current = made;
    for (const data of unsent.current.splice(0)) connection.send(data);
    if (connectWanted.current) made.connect();
    return () => {
      share.current = null;
      made.release();
      for (const work of takeAll(waiting)) work();
    };
  }, [url, maxReconnectAttempts, source]);

  useEffect(() => {
    for (const work of takeAll(waiting)) work();
  }, [view.openings]);

  useEffect(() => {
    if (!autoConnect || !signedIn) return;
    share.current?.connect();
    return () => share.current?.disconnect();
  }, [autoConnect, signedIn, sessionId, url, maxReconnectAttempts, source]);

  const connect = useCallback(() => {
    connectWanted.current = true;
    share.current?.connect();
  }, []);

  const disconnect = useCallback(() => {
    connectWanted.current = false;
    const made = share.current;
    if (!made?.connection.isReplacing) return made?.disconnect();
    // An effect that depends on `accessToken` disconnects and connects in one go at every refresh. The new socket is
    // under way already, so the old one need not be torn down for it; a disconnect that stays alone takes effect.
    queueMicrotask(() => {
      if (!connectWanted.current) made.disconnect();
    });
  }, []);

  const send = useCallback((data: string) => {
    if (share.current) return share.current.connection.send(data);
    unsent.current.push(data);
    return false;
  }, []);

  const { websocket, state, lastError } = view;
  const gaveUp = state === ConnectionState.Stopped;
  return { websocket, send, isConnected: websocket !== null, connect, disconnect, state, gaveUp, lastError };
}

function takeAll(waiting: { current: Array<() => void> | null }): Array<() => void> {
  const work = waiting.current ?? [];
  waiting.current = null;
  return work;
}

/** An app's own context has no client: its functions are looked up at each call. */
function tokenSource(auth: () => AuthContextType): TokenSource {
  return {
    ensureValidToken: (bufferMinutes) => auth().ensureValidToken(bufferMinutes),
    isTokenExpiringSoon: (bufferMinutes) => auth().isTokenExpiringSoon(bufferMinutes),
    onTokenRefresh: (callback) => auth().onTokenRefresh(callback),
    refresh: () => (auth().refresh ?? auth().ensureValidToken)(),
    getSnapshot: () => (auth().accessToken === null ? { status: 'signed_out', sessionId: null } : undefined),
  };
}
