/**
 * What the platform brings, named without the types of any: a project with the DOM's types, React Native's or Node's gets
 * its own back, and one with none gets the part that is used here.
 */
type Platform<Name extends string, Otherwise> = typeof globalThis extends { [Key in Name]: { prototype: infer Type } }
  ? Type
  : Otherwise;

export type SocketObject = Platform<'WebSocket', SocketLike>;
export type SocketMessage = Platform<'MessageEvent', { data: any; type: string }>;
export type SocketClose = Platform<'CloseEvent', { code: number; reason: string; wasClean: boolean; type: string }>;
export type SocketEvent = Platform<'Event', { type: string }>;
export type HttpResponse = Platform<
  'Response',
  {
    readonly ok: boolean;
    readonly status: number;
    readonly headers: { get(name: string): string | null };
    json(): Promise<any>;
    text(): Promise<string>;
  }
>;
export type HttpRequest = Platform<'Request', { readonly url: string }>;
export type Address = string | Platform<'URL', { toString(): string }> | HttpRequest;
/** What `fetch` takes as its second argument. */
export type HttpInit = typeof globalThis extends { fetch: (input: any, init?: infer Init) => any }
  ? NonNullable<Init>
  : { method?: string; headers?: any; body?: any; signal?: any };
export type Fetch = (input: any, init?: any) => Promise<HttpResponse>;
export type KeyValueStorage = Platform<
  'Storage',
  { length: number; getItem(key: string): string | null; setItem(key: string, value: string): void; removeItem(key: string): void }
>;
export type Signal = Platform<'AbortSignal', { readonly aborted: boolean }>;
export type FileObject = Platform<'Blob', { readonly size: number; readonly type: string }>;

/** As much of a WebSocket as is used: the browser's, React Native's and `ws`. */
export interface SocketLike {
  readonly readyState: number;
  send(data: string): void;
  close(code?: number, reason?: string): void;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
}

export type WebSocketConstructor = new (url: string, protocols?: string | string[]) => SocketLike;
