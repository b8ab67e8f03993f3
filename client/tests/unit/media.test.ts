import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { AuthClient } from '@/core/auth';
import { ApiError, NetworkError } from '@/core/errors';
import { memoryStorage } from '@/core/storage';
import { searchMessages, uploadAttachment, UploadCancelled, uploadResumable } from '@/media';
import { fakeFetch, pair } from '../support/fakes';

class FakeUpload {
  static all: FakeUpload[] = [];
  upload: { onprogress?: (event: { loaded: number; total: number }) => void } = {};
  headers: Record<string, string> = {};
  status = 0;
  responseText = '';
  onload = () => {};
  onerror = () => {};
  ontimeout = () => {};
  onabort = () => {};
  open() {
    FakeUpload.all.push(this);
  }
  setRequestHeader(name: string, value: string) {
    this.headers[name] = value;
  }
  getResponseHeader() {
    return null;
  }
  send() {}
  abort() {
    this.onabort();
  }
  answer(status: number, body: object) {
    this.status = status;
    this.responseText = JSON.stringify(body);
    this.onload();
  }
}

const settle = () => vi.advanceTimersByTimeAsync(0);
const file = (text: string) => new Blob([text], { type: 'text/plain' });
let auth: AuthClient;
let server: ReturnType<typeof fakeFetch>;
let held: string;
let faults: Array<'cut' | 'half' | number>;

beforeEach(async () => {
  vi.useFakeTimers({ now: new Date('2026-11-21T10:00:00Z') });
  vi.stubGlobal('XMLHttpRequest', FakeUpload);
  FakeUpload.all = [];
  held = '';
  faults = [];
  const progress = () => ({
    status: 204,
    headers: { 'Upload-Offset': String(held.length), ...(held.length === 10 && { 'Attachment-Uuid': 'a1' }) },
  });
  server = fakeFetch({
    'POST /api/auth/login/': () => ({ body: pair(1) }),
    'POST /api/auth/token/refresh/': () => ({ body: pair(2) }),
    'POST /api/chat/uploads/': () => ({ status: 201, headers: { Location: 'http://server/api/chat/uploads/u1/' } }),
    'HEAD /api/chat/uploads/u1/': () => ({ ...progress(), status: 200 }),
    'PATCH /api/chat/uploads/u1/': ({ headers }) => {
      const fault = faults.shift();
      if (typeof fault === 'number') return { status: fault, body: { code: 'x' } };
      if (Number(headers.get('Upload-Offset')) !== held.length) return { status: 409, body: { code: 'conflict' } };
      const piece = '0123456789'.slice(held.length, held.length + 4);
      if (fault === 'cut') return new TypeError('cut');
      held += fault === 'half' ? piece.slice(0, 2) : piece;
      return fault === 'half' ? new TypeError('cut') : progress();
    },
    'DELETE /api/chat/uploads/u1/': () => ({ status: 204 }),
    'GET /api/chat/attachments/a1/meta/': () => ({ body: { uuid: 'a1', state: 'processing' } }),
    'GET /api/chat/search/': () => ({ body: { results: [], next: null } }),
  });
  auth = new AuthClient({ baseUrl: 'http://server', storage: memoryStorage(), fetch: server.fetch });
  await auth.login('alice', 'x');
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe('in one request', () => {
  it('tells its progress and its attachment', async () => {
    const seen: number[] = [];
    const upload = uploadAttachment(auth, file('x'), { onProgress: (part) => seen.push(part) });
    await settle();
    const [request] = FakeUpload.all;
    expect(request!.headers.Authorization).toBe(`Bearer ${auth.accessToken}`);
    request!.upload.onprogress!({ loaded: 1, total: 4 });
    request!.answer(201, { uuid: 'a1' });
    expect(await upload).toEqual({ uuid: 'a1' });
    expect(seen).toEqual([0.25, 1]);
  });

  it('goes again with a new token, and tells a refusal, a lost network and a cancel apart', async () => {
    const upload = uploadAttachment(auth, file('x')).catch((error: unknown) => error);
    await settle();
    FakeUpload.all[0]!.answer(401, { code: 'token_not_valid' });
    await settle();
    FakeUpload.all[1]!.answer(413, { code: 'quota_exceeded', detail: 'full' });
    expect(await upload).toMatchObject({ name: 'ApiError', status: 413, code: 'quota_exceeded' });
    const lost = uploadAttachment(auth, file('x')).catch((error: unknown) => error);
    await settle();
    FakeUpload.all[2]!.onerror();
    expect(await lost).toBeInstanceOf(NetworkError);
    const controller = new AbortController();
    const cancelled = uploadAttachment(auth, file('x'), { signal: controller.signal }).catch((error: unknown) => error);
    await settle();
    controller.abort();
    expect(await cancelled).toBeInstanceOf(UploadCancelled);
  });
});

describe('piece by piece', () => {
  const run = async (options: object = {}) => {
    const upload = uploadResumable(auth, file('0123456789'), { chunkBytes: 4, name: 'é.txt', ...options }).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(60_000);
    return upload;
  };

  it('goes on where the server has it, over cuts, half pieces and faults', async () => {
    faults = ['cut', 'half', 503, 'cut'];
    const seen: number[] = [];
    expect(await run({ onProgress: (part: number) => seen.push(part) })).toEqual({ uuid: 'a1', state: 'processing' });
    expect(held).toBe('0123456789');
    expect(seen.at(-1)).toBe(1);
    expect(server.to('/api/chat/uploads/')[0]!.headers.get('Upload-Metadata')).toContain(Buffer.from('é.txt').toString('base64'));
  });

  it('goes on with an upload of before', async () => {
    held = '01234567';
    expect(await run({ uploadUrl: 'http://server/api/chat/uploads/u1/' })).toMatchObject({ uuid: 'a1' });
    expect(server.requests.filter(({ method }) => method === 'PATCH')).toHaveLength(1);
  });

  it('stops at a refusal, after too many faults, and when it is called off', async () => {
    faults = [413];
    expect(await run()).toBeInstanceOf(ApiError);
    faults = Array<'cut'>(20).fill('cut');
    expect(await run()).toBeInstanceOf(NetworkError);
    faults = [];
    const controller = new AbortController();
    expect(await run({ signal: controller.signal, onBegun: () => controller.abort() })).toBeInstanceOf(UploadCancelled);
    expect(server.requests.at(-1)!.method).not.toBe('PATCH');
  });
});

it('searches, and reads the next page', async () => {
  await searchMessages(auth, { q: 'été & co', has: 'link' });
  await searchMessages(auth, { next: 'http://server/api/chat/search/?cursor=2' });
  expect(server.requests.slice(-2).map(({ path }) => path)).toEqual(['/api/chat/search/?q=%C3%A9t%C3%A9%20%26%20co&has=link', '/api/chat/search/?cursor=2']);
});

describe('what is not as it should be', () => {
  it('half an emoji stops neither an upload nor a search', async () => {
    await uploadResumable(auth, new Blob(['0123456789']), { name: 'a\ud83d.txt' });
    await searchMessages(auth, { q: '\ud83d' });
    expect(server.requests.some(({ path }) => path === '/api/chat/search/?q=%EF%BF%BD')).toBe(true);
  });

  it('a page of somebody in between is no attachment', async () => {
    const upload = uploadAttachment(auth, file('x'));
    const raised = expect(upload).rejects.toBeInstanceOf(NetworkError);
    await settle();
    Object.assign(FakeUpload.all[0]!, { status: 200, responseText: '<html>' });
    FakeUpload.all[0]!.onload();
    await raised;
    vi.stubGlobal('XMLHttpRequest', undefined);
    server.routes['POST /api/chat/attachments/'] = () => ({});
    await expect(uploadAttachment(auth, file('x'))).rejects.toBeInstanceOf(NetworkError);
  });
});
