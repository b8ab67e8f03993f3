/** What the device tells: the app comes to the front or leaves it, the network comes or goes. */
export type LifecycleEvent = 'foreground' | 'background' | 'online' | 'offline';

export interface Lifecycle {
  subscribe(listener: (event: LifecycleEvent) => void): () => void;
}

export const noLifecycle: Lifecycle = { subscribe: () => () => {} };

/** A hidden tab keeps its socket, so the browser never says `background`. */
export function browserLifecycle(): Lifecycle {
  const { document } = globalThis;
  return {
    subscribe(listener) {
      const online = () => listener('online');
      const offline = () => listener('offline');
      const shown = () => {
        if (document.visibilityState === 'visible') listener('foreground');
      };
      const each = (act: 'addEventListener' | 'removeEventListener') => {
        // React Native and Node have no events of their own.
        globalThis[act]?.('online', online);
        globalThis[act]?.('offline', offline);
        if (document) globalThis[act]?.('focus', shown);
        document?.[act]?.('visibilitychange', shown);
      };
      each('addEventListener');
      return () => each('removeEventListener');
    },
  };
}
