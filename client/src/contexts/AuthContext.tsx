'use client';

import { createContext, useContext, useEffect, useMemo, useSyncExternalStore, type ReactNode } from 'react';

import {
  AuthClient,
  type AuthSnapshot,
  type LoginCredentials,
  type Registration,
  type SignOutReason,
} from '../core/auth.js';
import type { Lifecycle } from '../core/lifecycle.js';
import type { Logger } from '../core/logger.js';
import type { Address, Fetch, HttpInit, HttpResponse, WebSocketConstructor } from '../core/platform.js';
import type { TokenStorage } from '../core/storage.js';
import type { LoginResponse, User, UserSession } from '../core/types.js';

export interface AuthContextType {
  user: User | null;
  session: UserSession | null;
  accessToken: string | null;
  isAuthenticated: boolean;
  /** Stays over refreshes; another after another sign-in. */
  sessionId: string | null;
  /** True until the stored tokens have been read. */
  isLoading: boolean;
  /** Why the last sign-in ended (`session_revoked`, …), for a word on the login screen. */
  signedOutReason: SignOutReason | null;

  /** Raises ApiError when refused; its `code` says why. */
  login: {
    (credentials: LoginCredentials): Promise<LoginResponse>;
    (
      username: string,
      password: string,
      options?: Omit<LoginCredentials, 'username' | 'password'>,
    ): Promise<LoginResponse>;
  };
  register: (registration: Registration) => Promise<{ user: User }>;
  logout: () => Promise<void>;

  /** `fetch` with the Bearer and `Device-Fingerprint`; tried once more after a refresh when the token is refused. */
  fetch: (input: Address, init?: HttpInit) => Promise<HttpResponse>;

  /**
   * A token that lives for so many minutes more (5 when left out), refreshed if it would end sooner.
   * Offline: the token that still lives, else null.
   */
  ensureValidToken: (bufferMinutes?: number) => Promise<string | null>;

  /** Calls back at every refresh; returns the unsubscribe. */
  onTokenRefresh: (callback: (newAccessToken: string) => void) => () => void;

  /** True when fewer than so many minutes (5 when left out) remain. */
  isTokenExpiringSoon: (bufferMinutes?: number) => boolean;

  /** Refreshes now, whatever remains. */
  refresh: () => Promise<string | null>;

  /** What all of this stands on; also what `ChatClient` wants. */
  client: AuthClient;
}

export interface AuthProviderProps {
  baseUrl: string;
  /** Default: localStorage, or memory where there is none. On a phone: `secureStorage(SecureStore)`. */
  storage?: TokenStorage;
  deviceFingerprint?: string;
  language?: string;
  /** Default: the browser's. On a phone: `nativeLifecycle({ AppState })`. */
  lifecycle?: Lifecycle;
  fetch?: Fetch;
  /** What sockets are made of; default: the platform's. */
  WebSocket?: WebSocketConstructor;
  /** Default: `console`. */
  logger?: Logger;
  /** An AuthClient made elsewhere; the other properties are then ignored. */
  client?: AuthClient;
  children?: ReactNode;
}

const AuthContext = createContext<AuthContextType | null>(null);

export function AuthProvider({ children, client: given, ...options }: AuthProviderProps) {
  const { baseUrl, deviceFingerprint } = options;
  // Storage and the rest are read once: `storage={secureStorage(SecureStore)}` makes a new object at every render.
  const client = useMemo(() => given ?? new AuthClient(options), [given, baseUrl, deviceFingerprint]);
  const snapshot = useSyncExternalStore(client.subscribe, client.getSnapshot, client.getSnapshot);

  useEffect(() => client.start(), [client]);
  useEffect(() => {
    if (options.language) client.language = options.language;
  }, [client, options.language]);

  const value = useMemo(() => contextValue(client, snapshot), [client, snapshot]);
  return <AuthContext.Provider value={value}>{children}</AuthContext.Provider>;
}

export function useAuth(): AuthContextType {
  const value = useContext(AuthContext);
  if (!value) throw new Error('useAuth must be used below an AuthProvider');
  return value;
}

function contextValue(client: AuthClient, snapshot: AuthSnapshot): AuthContextType {
  return {
    user: snapshot.user,
    session: snapshot.session,
    accessToken: snapshot.accessToken,
    isAuthenticated: snapshot.status === 'signed_in',
    sessionId: snapshot.sessionId,
    isLoading: snapshot.status === 'loading',
    signedOutReason: snapshot.signedOutReason,
    login: client.login,
    register: client.register,
    logout: client.logout,
    fetch: client.fetch,
    ensureValidToken: client.ensureValidToken,
    onTokenRefresh: client.onTokenRefresh,
    isTokenExpiringSoon: client.isTokenExpiringSoon,
    refresh: client.refresh,
    client,
  };
}
