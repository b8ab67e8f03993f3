import type { KeyValueStorage } from './platform.js';

/** Where the tokens rest. `localStorage`, AsyncStorage and the adapters below all have this shape. */
export interface TokenStorage {
  getItem(key: string): string | null | Promise<string | null>;
  setItem(key: string, value: string): void | Promise<void>;
  removeItem(key: string): void | Promise<void>;
  /** Tells of changes made elsewhere (another tab). Present only where several may share the storage. */
  subscribe?(listener: (key: string | null) => void): () => void;
}

export const ACCESS_TOKEN_KEY = 'access_token';
export const REFRESH_TOKEN_KEY = 'refresh_token';
/** Names this device to the lockout at its next login; kept when one signs out. */
export const DEVICE_TOKEN_KEY = 'device_token';
/** When the access token ends, the server's clock, the user and the session: nothing secret. */
export const SESSION_FACTS_KEY = 'session_facts';

export function memoryStorage(): TokenStorage {
  const items = new Map<string, string>();
  return {
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => void items.set(key, value),
    removeItem: (key) => void items.delete(key),
  };
}

/** The browser's localStorage, shared by all tabs. Any script of the page can read it: serve a strict CSP. */
export function localStorageAdapter(storage: KeyValueStorage = globalThis.localStorage): TokenStorage {
  return {
    getItem: (key) => storage.getItem(key),
    setItem: (key, value) => storage.setItem(key, value),
    removeItem: (key) => storage.removeItem(key),
    subscribe(listener) {
      const heard = (event: StorageEvent) => {
        if (event.storageArea === storage || event.storageArea == null) listener(event.key);
      };
      globalThis.addEventListener?.('storage', heard);
      return () => globalThis.removeEventListener?.('storage', heard);
    },
  };
}

/** The part of `expo-secure-store` that is used; the module itself has this shape. */
export interface SecureStoreModule {
  getItemAsync(key: string, options?: SecureStoreOptions): Promise<string | null>;
  setItemAsync(key: string, value: string, options?: SecureStoreOptions): Promise<void>;
  deleteItemAsync(key: string, options?: SecureStoreOptions): Promise<void>;
}

export interface SecureStoreOptions {
  keychainService?: string;
  /** When the keychain may be read. `SecureStore.AFTER_FIRST_UNLOCK` lets a push wake the app behind a locked screen. */
  keychainAccessible?: number;
}

/** Keychain and Keystore by Expo: `secureStorage(SecureStore)`. Each token has a key of its own and fits. */
export function secureStorage(module: SecureStoreModule, options?: SecureStoreOptions): TokenStorage {
  return {
    getItem: (key) => module.getItemAsync(key, options),
    setItem: (key, value) => module.setItemAsync(key, value, options),
    removeItem: (key) => module.deleteItemAsync(key, options),
  };
}

/** localStorage where there is one that may be written (not in a private window that forbids it), else memory. */
export function defaultStorage(): TokenStorage {
  let storage: KeyValueStorage | undefined;
  try {
    storage = globalThis.localStorage;
    storage?.setItem('storage_probe', '1');
    storage?.removeItem('storage_probe');
  } catch {
    // Denied. One that is full holds something, maybe a sign-in.
    if (!storage?.length) storage = undefined;
  }
  return storage ? localStorageAdapter(storage) : memoryStorage();
}
