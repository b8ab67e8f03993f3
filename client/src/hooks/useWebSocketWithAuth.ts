import { useCallback, useEffect, useLayoutEffect, useRef, useState } from 'react';

import { useAuth, type AuthContextType } from '../contexts/AuthContext.js';
import { Connection, type TokenSource } from '../core/connection.js';

export interface UseWebSocketWithAuthOptions {
  url: string;
  /** Each chat event once and in order, also while one socket replaces another. */
  onMessage?: (event: MessageEvent) => void;
  /** Runs once `websocket` is set; also for the socket that replaces another after a token refresh. */
  onOpen?: (websocket: WebSocket) => void;
  /** The connection is lost or closed. Does not run for a socket that has been replaced. */
  onClose?: (event: CloseEvent) => void;
  onError?: (error: Event) => void;
  /** Connect by itself as soon as somebody is signed in. */
  autoConnect?: boolean;
  /** Reconnects in a row without success before it gives up (5); `Infinity` for no limit. */
  maxReconnectAttempts?: number;
}

export interface UseWebSocketWithAuthResult {
  websocket: WebSocket | null;
  /** What is sent before the opening waits for it. True when it went out now. */
  send: (data: string) => boolean;
  isConnected: boolean;
  connect: () => void;
  disconnect: () => void;
}

interface View {
  websocket: WebSocket | null;
  /** Counts openings, so that each gets its effect even where one socket follows another within a render. */
  openings: number;
}

export function useWebSocketWithAuth(options: UseWebSocketWithAuthOptions): UseWebSocketWithAuthResult {
  const { url, autoConnect = true, maxReconnectAttempts } = options;
  const auth = useAuth();
  const signedIn = auth.accessToken !== null;
  // Another sign-in over this one has closed the connection: it is made anew.
  const { sessionId } = auth;
  const [view, setView] = useState<View>({ websocket: null, openings: 0 });

  const latest = useRef({ options, auth });
  useLayoutEffect(() => {
    latest.current = { options, auth };
  });

  const connection = useRef<Connection | null>(null);
  const connectWanted = useRef(false);
  const unsent = useRef<string[]>([]);
  // `onOpen` reads what its render knows, such as `websocket`, so it runs after that render; what comes
  // in between waits behind it.
  const waiting = useRef<Array<() => void> | null>(null);

  useEffect(() => {
    const made = new Connection({
      url,
      auth: tokenSource(() => latest.current.auth),
      ...(maxReconnectAttempts !== undefined && { maxReconnectAttempts }),
    });
    const inTurn = (work: () => void) => {
      if (waiting.current) waiting.current.push(work);
      else work();
    };
    made.on('open', (websocket) => {
      (waiting.current ??= []).push(() => latest.current.options.onOpen?.(websocket));
      setView((before) => ({ websocket, openings: before.openings + 1 }));
    });
    made.on('message', (event) => inTurn(() => latest.current.options.onMessage?.(event)));
    made.on('error', (event) => inTurn(() => latest.current.options.onError?.(event)));
    made.on('close', (event) => {
      setView((before) => ({ ...before, websocket: null }));
      inTurn(() => latest.current.options.onClose?.(event));
    });
    connection.current = made;
    for (const data of unsent.current.splice(0)) made.send(data);
    if (connectWanted.current) made.connect();
    return () => {
      connection.current = null;
      made.disconnect();
      const undelivered = waiting.current ?? [];
      waiting.current = null;
      for (const work of undelivered) work();
    };
  }, [url, maxReconnectAttempts]);

  useEffect(() => {
    for (const work of takeAll(waiting)) work();
  }, [view.openings]);

  useEffect(() => {
    if (!autoConnect || !signedIn) return;
    connection.current?.connect();
    return () => connection.current?.disconnect();
  }, [autoConnect, signedIn, sessionId, url, maxReconnectAttempts]);

  const connect = useCallback(() => {
    connectWanted.current = true;
    connection.current?.connect();
  }, []);

  const disconnect = useCallback(() => {
    connectWanted.current = false;
    const made = connection.current;
    if (!made?.isReplacing) return made?.disconnect();
    // An effect that depends on `accessToken` disconnects and connects in one go at every refresh. The new socket is
    // under way already, so the old one need not be torn down for it; a disconnect that stays alone takes effect.
    queueMicrotask(() => {
      if (!connectWanted.current) made.disconnect();
    });
  }, []);

  const send = useCallback((data: string) => {
    if (connection.current) return connection.current.send(data);
    unsent.current.push(data);
    return false;
  }, []);

  return { websocket: view.websocket, send, isConnected: view.websocket !== null, connect, disconnect };
}

function takeAll(waiting: { current: Array<() => void> | null }): Array<() => void> {
  const work = waiting.current ?? [];
  waiting.current = null;
  return work;
}

/** The context's functions, looked up at each call: a new AuthClient takes effect without a new connection. */
function tokenSource(auth: () => AuthContextType): TokenSource {
  const client = () => auth().client as AuthContextType['client'] | undefined;
  return {
    ensureValidToken: (bufferMinutes) => auth().ensureValidToken(bufferMinutes),
    isTokenExpiringSoon: (bufferMinutes) => auth().isTokenExpiringSoon(bufferMinutes),
    onTokenRefresh: (callback) => auth().onTokenRefresh(callback),
    refresh: () => (auth().refresh ?? auth().ensureValidToken)(),
    onSignOut: (callback) => client()?.onSignOut(callback) ?? (() => {}),
    signOut: (reason) => client()?.signOut(reason),
    syncClock: (serverTime) => client()?.syncClock(serverTime),
    lifecycle: { subscribe: (listener) => client()?.lifecycle.subscribe(listener) ?? (() => {}) },
  };
}
