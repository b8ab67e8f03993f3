/** Attachments and search. */
import type * as Http from '../generated/http.js';
import type { AuthClient } from './auth.js';
import { ApiError, NetworkError, unanswered } from './errors.js';
import type { FileObject } from './platform.js';
import { wellFormed } from './text.js';
import type { Attachment, Message, Timestamp, Uuid, With } from './types.js';

/** A file: the browser's `Blob`, or React Native's `{ uri, name, type }`. */
export type UploadFile = FileObject | { uri: string; name: string; type: string };

export interface UploadOptions {
  name?: string;
  /** Between 0 and 1. */
  onProgress?: (part: number) => void;
  signal?: { readonly aborted: boolean; addEventListener(type: 'abort', listener: () => void): void };
}

export interface ResumableOptions extends UploadOptions {
  /** Goes on with an upload that was begun before; `onBegun` told its address. */
  uploadUrl?: string;
  onBegun?: (uploadUrl: string) => void;
  /** Bytes of one request; default 1 MiB. */
  chunkBytes?: number;
}

export interface SearchQuery {
  q: string;
  conversation_uuid?: Uuid;
  sender_id?: number;
  before?: Timestamp;
  after?: Timestamp;
  has?: 'attachment' | 'link';
}

/** `highlights` are ranges of `content` in UTF-16 units, as strings count. */
export type SearchResult = With<Http.FoundOutput, { message: Message; highlights: Array<[number, number]> }>;

/** The upload was called off by its `signal`. */
export class UploadCancelled extends Error {
  constructor() {
    super('The upload was called off');
    this.name = 'UploadCancelled';
  }
}

const DEFAULT_CHUNK_BYTES = 1_048_576;
const RETRIES = 5;
const RETRY_BASE_MS = 1_000;

/** Sends a file in one request, with progress. For what is large or on a bad network: `uploadResumable`. */
export async function uploadAttachment(auth: AuthClient, file: UploadFile, options: UploadOptions = {}): Promise<Attachment> {
  const { name = 'name' in file ? (file.name as string) : 'file', onProgress, signal } = options;
  const form = new FormData();
  form.append('file', file as Blob, name);
  if (!globalThis.XMLHttpRequest) return uploadByFetch(auth, form, options);
  const send = (token: string | null) =>
    new Promise<{ status: number; body: unknown; retryAfter: string | null }>((resolve, reject) => {
      // `fetch` knows nothing of progress.
      const request = new XMLHttpRequest();
      request.open('POST', `${auth.baseUrl}/api/chat/attachments/`);
      if (token) request.setRequestHeader('Authorization', `Bearer ${token}`);
      if (auth.language) request.setRequestHeader('Accept-Language', auth.language);
      request.upload.onprogress = ({ loaded, total }) => total > 0 && onProgress?.(loaded / total);
      request.onload = () =>
        resolve({ status: request.status, body: parse(request.responseText), retryAfter: request.getResponseHeader('Retry-After') });
      request.onerror = request.ontimeout = () => reject(new NetworkError());
      request.onabort = () => reject(new UploadCancelled());
      if (signal?.aborted) return reject(new UploadCancelled());
      signal?.addEventListener('abort', () => request.abort());
      request.send(form);
    });
  const same = await auth.sameSession();
  let answer = await send(same(await auth.ensureValidToken(1)));
  if (answer.status === 401) answer = await send(same(await auth.refresh()));
  if (answer.status >= 400) throw new ApiError(answer.status, (answer.body as object) ?? {});
  // Not the server's: a page of somebody in between.
  if (!answer.body) throw new NetworkError();
  onProgress?.(1);
  return same(answer.body as Attachment);
}

/** Node has nothing that knows of progress: it is told at the end. */
async function uploadByFetch(auth: AuthClient, form: FormData, { onProgress, signal }: UploadOptions): Promise<Attachment> {
  const controller = new AbortController();
  if (signal?.aborted) throw new UploadCancelled();
  signal?.addEventListener('abort', () => controller.abort());
  const init = { method: 'POST', body: form, signal: controller.signal };
  const response = await auth.fetch('/api/chat/attachments/', init).catch((error: unknown) => {
    throw controller.signal.aborted ? new UploadCancelled() : unanswered(error);
  });
  if (!response.ok) throw await ApiError.from(response);
  onProgress?.(1);
  return response.json().catch((error: unknown) => {
    throw unanswered(error);
  }) as Promise<Attachment>;
}

/**
 * Sends a file piece by piece (tus 1.0). A piece that was cut is gone on with where the server has it, over any number of
 * networks; with the `uploadUrl` of before also after the app was closed.
 */
export async function uploadResumable(
  auth: AuthClient,
  file: FileObject & { slice(start: number, end: number): unknown },
  { name = 'file', onProgress, signal, uploadUrl, onBegun, chunkBytes = DEFAULT_CHUNK_BYTES }: ResumableOptions = {},
): Promise<Attachment> {
  const tus = { 'Tus-Resumable': '1.0.0' };
  const { size } = file;
  const same = await auth.sameSession();
  const call = async (method: string, address: string, headers: Record<string, string> = {}, body?: unknown) => {
    if (signal?.aborted) throw new UploadCancelled();
    const init = { method, headers: { ...tus, ...headers }, body: body as never };
    const response = await auth.fetch(same(address), init).catch((error: unknown) => {
      throw unanswered(error);
    });
    if (!response.ok) throw await ApiError.from(response);
    return response;
  };
  let address = uploadUrl;
  let offset = 0;
  if (!address) {
    const metadata = `filename ${base64(name)},filetype ${base64(file.type || 'application/octet-stream')}`;
    const response = await call('POST', '/api/chat/uploads/', { 'Upload-Length': String(size), 'Upload-Metadata': metadata });
    address = response.headers.get('Location')!;
    onBegun?.(address);
  } else {
    offset = Number((await call('HEAD', address)).headers.get('Upload-Offset'));
  }
  const end = () => void auth.fetch(address, { method: 'DELETE', headers: tus }).catch(() => {});
  signal?.addEventListener('abort', end);
  let uuid: string | null = null;
  for (let failures = 0; uuid === null; ) {
    try {
      const { headers } =
        offset < size
          ? await call(
              'PATCH',
              address,
              { 'Upload-Offset': String(offset), 'Content-Type': 'application/offset+octet-stream' },
              file.slice(offset, Math.min(size, offset + chunkBytes)),
            )
          : await call('HEAD', address);
      offset = Number(headers.get('Upload-Offset'));
      uuid = headers.get('Attachment-Uuid');
      failures = 0;
      onProgress?.(size > 0 ? offset / size : 1);
      if (offset >= size && uuid === null) throw new NetworkError();
    } catch (error) {
      const passing = error instanceof NetworkError || (error instanceof ApiError && (error.status >= 500 || [409, 429].includes(error.status)));
      if (!passing || ++failures > RETRIES) throw error;
      await new Promise((done) => setTimeout(done, RETRY_BASE_MS * 2 ** (failures - 1)));
      // Part of a piece may have arrived.
      const known = await call('HEAD', address).catch(() => null);
      if (known) {
        offset = Number(known.headers.get('Upload-Offset'));
        uuid = known.headers.get('Attachment-Uuid');
      }
    }
  }
  return attachmentMeta(auth, uuid);
}

/** The attachment with its `state`; while it is `processing`, `attachment.ready` tells when it is not. */
export function attachmentMeta(auth: AuthClient, uuid: Uuid): Promise<Attachment> {
  return auth.api('GET', `/api/chat/attachments/${uuid}/meta/`);
}

/** Newest first; pass `next` of a page to read the one after it. */
export function searchMessages(
  auth: AuthClient,
  query: SearchQuery | { next: string },
): Promise<{ results: SearchResult[]; next: string | null }> {
  if ('next' in query) return auth.api('GET', query.next);
  const parameters = Object.entries(query).map(([key, value]) => `${key}=${encodeURIComponent(wellFormed(String(value)))}`);
  return auth.api('GET', `/api/chat/search/?${parameters.join('&')}`);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Of the UTF-8, by hand: not every phone has `TextEncoder`. */
function base64(text: string): string {
  return btoa(encodeURIComponent(wellFormed(text)).replace(/%(..)/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))));
}
