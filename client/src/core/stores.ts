import { Offline, type ChatStore, type KeyValueStore } from './offline.js';

export type { ChatStore, KeyValueStore };

/** Any storage of texts under keys: `keyValueStore(AsyncStorage)`. */
export function keyValueStore(items: KeyValueStore, failed?: (error: unknown) => void): ChatStore {
  return new Offline(items, failed);
}

/** IndexedDB: what a browser keeps much in. Nothing is opened before the first call. */
export function indexedDbStore(name = 'alviar'): ChatStore {
  let opening: Promise<IDBDatabase> | undefined;
  const open = () =>
    (opening ??= new Promise<IDBDatabase>((resolve, reject) => {
      const request = indexedDB.open(name, 1);
      request.onupgradeneeded = () => request.result.createObjectStore('items');
      request.onsuccess = () => {
        const database = request.result;
        // Removed, or made anew by a later version: neither waits for us, and the next call opens what is there then.
        database.onversionchange = () => {
          database.close();
          opening = undefined;
        };
        database.onclose = () => (opening = undefined);
        resolve(database);
      };
      request.onerror = request.onblocked = () => reject(request.error ?? new Error('IndexedDB is blocked'));
    }).catch((error: unknown) => {
      opening = undefined;
      throw error;
    }));
  const run = async <Result>(mode: IDBTransactionMode, work: (items: IDBObjectStore) => IDBRequest): Promise<Result> => {
    const transaction = (await open()).transaction('items', mode);
    return new Promise<Result>((resolve, reject) => {
      const request = work(transaction.objectStore('items'));
      transaction.oncomplete = () => resolve(request.result as Result);
      transaction.onerror = transaction.onabort = () => reject(transaction.error ?? new Error('IndexedDB failed'));
    });
  };
  return keyValueStore({
    getItem: async (key) => (await run<string | undefined>('readonly', (items) => items.get(key))) ?? null,
    setItem: (key, value) => run('readwrite', (items) => items.put(value, key)),
    removeItem: (key) => run('readwrite', (items) => items.delete(key)),
  });
}

/** The part of `react-native-mmkv` that is used. */
export interface MmkvModule {
  getString(key: string): string | undefined;
  set(key: string, value: string): void;
  delete(key: string): void;
}

export function mmkvStore(mmkv: MmkvModule): ChatStore {
  return keyValueStore({
    getItem: (key) => mmkv.getString(key) ?? null,
    setItem: (key, value) => mmkv.set(key, value),
    removeItem: (key) => mmkv.delete(key),
  });
}

/** The part of `expo-sqlite`'s database that is used. */
export interface SqliteDatabase {
  execAsync(sql: string): Promise<unknown>;
  runAsync(sql: string, ...values: string[]): Promise<unknown>;
  getFirstAsync<Row>(sql: string, ...values: string[]): Promise<Row | null>;
}

export function sqliteStore(database: SqliteDatabase): ChatStore {
  let making: Promise<unknown> | undefined;
  // A database that is busy at the start of the app is asked again.
  const ready = () =>
    (making ??= database.execAsync('CREATE TABLE IF NOT EXISTS alviar (key TEXT PRIMARY KEY, value TEXT NOT NULL)').catch((error: unknown) => {
      making = undefined;
      throw error;
    }));
  return keyValueStore({
    async getItem(key) {
      await ready();
      return (await database.getFirstAsync<{ value: string }>('SELECT value FROM alviar WHERE key = ?', key))?.value ?? null;
    },
    async setItem(key, value) {
      await ready();
      await database.runAsync('INSERT OR REPLACE INTO alviar (key, value) VALUES (?, ?)', key, value);
    },
    async removeItem(key) {
      await ready();
      await database.runAsync('DELETE FROM alviar WHERE key = ?', key);
    },
  });
}
