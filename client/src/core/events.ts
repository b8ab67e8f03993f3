import type { SocketClose, SocketMessage } from './platform.js';

// React Native and Node 20 have not all of the event classes; the shape is what callers read.

export function made<Kind>(name: 'MessageEvent' | 'CloseEvent' | 'Event', type: string, fields: object): Kind {
  const Constructor = globalThis[name] as (new (type: string, fields: object) => Kind) | undefined;
  return Constructor ? new Constructor(type, fields) : ({ type, ...fields } as Kind);
}

export const messageEvent = (data: string): SocketMessage => made<SocketMessage>('MessageEvent', 'message', { data });

export const closeEvent = (code: number, reason = ''): SocketClose =>
  made<SocketClose>('CloseEvent', 'close', { code, reason, wasClean: code === 1000 });
