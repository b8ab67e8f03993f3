/** What the device tells: the app comes to the front or leaves it, the network comes or goes. */
export type LifecycleEvent = 'foreground' | 'background' | 'online' | 'offline';

export interface Lifecycle {
  subscribe(listener: (event: LifecycleEvent) => void): () => void;
}

export const noLifecycle: Lifecycle = { subscribe: () => () => {} };

/** A hidden tab keeps its socket, so the browser never says `background`. */
export function browserLifecycle(): Lifecycle {
  return {
    subscribe(listener) {
      const { document } = globalThis;
      const heard = ({ type }: { type: string }) => {
        if (type === 'online' || type === 'offline') listener(type);
        else if (document?.visibilityState === 'visible') listener('foreground');
      };
      const each = (act: 'addEventListener' | 'removeEventListener') => {
        // React Native and Node have no events of their own.
        for (const type of ['online', 'offline', 'focus']) globalThis[act]?.(type, heard);
        document?.[act]?.('visibilitychange', heard);
      };
      each('addEventListener');
      return () => each('removeEventListener');
    },
  };
}
