/** What the device tells: the app comes to the front or leaves it, the network comes or goes. */
export type LifecycleEvent = 'foreground' | 'background' | 'online' | 'offline';

export interface Lifecycle {
  subscribe(listener: (event: LifecycleEvent) => void): () => void;
}

export const noLifecycle: Lifecycle = { subscribe: () => () => {} };

/** A hidden tab keeps its socket, so the browser never says `background`. */
export function browserLifecycle(): Lifecycle {
  if (typeof globalThis.addEventListener !== 'function') return noLifecycle;
  return {
    subscribe(listener) {
      const online = () => listener('online');
      const offline = () => listener('offline');
      const shown = () => {
        if (document.visibilityState === 'visible') listener('foreground');
      };
      globalThis.addEventListener('online', online);
      globalThis.addEventListener('offline', offline);
      globalThis.addEventListener('focus', shown);
      globalThis.document?.addEventListener('visibilitychange', shown);
      return () => {
        globalThis.removeEventListener('online', online);
        globalThis.removeEventListener('offline', offline);
        globalThis.removeEventListener('focus', shown);
        globalThis.document?.removeEventListener('visibilitychange', shown);
      };
    },
  };
}
