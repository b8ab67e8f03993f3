'use client';

import type { Lifecycle, LifecycleEvent } from './core/lifecycle.js';

export * from './react.js';
export { memoryStorage, secureStorage, type SecureStoreModule, type TokenStorage } from './core/storage.js';
export type { Lifecycle } from './core/lifecycle.js';

/** The part of React Native's `AppState` that is used. */
export interface AppStateModule {
  readonly currentState: string | null | undefined;
  addEventListener(type: 'change', listener: (state: string) => void): { remove(): void };
}

/** The part of `@react-native-community/netinfo` that is used. */
export interface NetInfoModule {
  addEventListener(listener: (state: { isConnected: boolean | null }) => void): () => void;
}

/**
 * Tells the client when the app goes to the back and comes to the front, and when the network returns.
 *
 * The modules are handed in, so that this package needs neither: `nativeLifecycle({ AppState, NetInfo })`.
 */
export function nativeLifecycle(modules: { AppState: AppStateModule; NetInfo?: NetInfoModule }): Lifecycle {
  return {
    subscribe(listener: (event: LifecycleEvent) => void) {
      const appState = modules.AppState.addEventListener('change', (state) => {
        if (state === 'active') listener('foreground');
        // `inactive` is a call or the app switcher in passing.
        else if (state === 'background') listener('background');
      });
      let connected: boolean | null = null;
      const stopNetInfo = modules.NetInfo?.addEventListener(({ isConnected }) => {
        if (isConnected !== connected && connected !== null) listener(isConnected ? 'online' : 'offline');
        connected = isConnected;
      });
      return () => {
        appState.remove();
        stopNetInfo?.();
      };
    },
  };
}
