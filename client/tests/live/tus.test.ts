/** Resumable uploads by tus-js-client, which nobody here wrote, against a real server; over a wire that is cut. */
import { afterAll, expect, it } from 'vitest';
import { Upload, type HttpResponse, type UploadOptions } from 'tus-js-client';

import { beginAgainClean } from '../support/attempts';
import { wireTo } from '../support/proxy';
import { startServer, until } from '../support/server';

const server = await startServer({});
beginAgainClean(server);
afterAll(() => server?.remove());

async function signIn(): Promise<string> {
  const answer = await fetch(`${server!.url}/api/auth/login/`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ username: 'alice', password: 'alviar-demo' }),
  });
  expect(answer.status).toBe(200);
  return ((await answer.json()) as { access: string }).access;
}

function random(size: number): Buffer {
  const data = Buffer.alloc(size);
  for (let at = 0; at < size; at += 65_536) crypto.getRandomValues(data.subarray(at, Math.min(size, at + 65_536)));
  return data;
}

interface Sent {
  upload: Upload;
  done: Promise<void>;
  uuid: () => string;
}

function send(data: Buffer, access: string, base: string, options: Partial<UploadOptions> = {}): Sent {
  let uuid = '';
  let settle: { done: () => void; failed: (error: Error) => void };
  const done = new Promise<void>((resolve, reject) => (settle = { done: resolve, failed: reject }));
  const upload = new Upload(data, {
    endpoint: `${base}/api/chat/uploads/`,
    headers: { Authorization: `Bearer ${access}` },
    metadata: { filename: 'letter.bin' },
    retryDelays: [50, 100, 200, 400, 800, 1600, 3200],
    onAfterResponse: (_request: unknown, response: HttpResponse) => {
      uuid = response.getHeader('Attachment-Uuid') ?? uuid;
    },
    onSuccess: () => settle.done(),
    onError: (error) => settle.failed(error),
    ...options,
  });
  return { upload, done, uuid: () => uuid };
}

async function read(uuid: string, access: string): Promise<Buffer> {
  const answer = await fetch(`${server!.url}/api/chat/attachments/${uuid}/`, {
    headers: { Authorization: `Bearer ${access}` },
  });
  expect(answer.status).toBe(200);
  return Buffer.from(await answer.arrayBuffer());
}

it('uploads in pieces', async () => {
  const access = await signIn();
  const data = random(700_000);
  const sent = send(data, access, server!.url, { chunkSize: 300_000 });
  sent.upload.start();
  await sent.done;
  expect(sent.uuid()).toMatch(/^[0-9a-f-]{36}$/);
  expect((await read(sent.uuid(), access)).equals(data)).toBe(true);
});

it('goes on where a cut wire left off', async () => {
  const access = await signIn();
  const wire = await wireTo(server!.url);
  const data = random(6_000_000);
  const began: number[] = [];
  let cuts = 0;
  const sent = send(data, access, wire.url, {
    chunkSize: 1_000_000,
    onBeforeRequest: (request) => {
      const offset = request.getHeader('Upload-Offset');
      if (offset !== undefined) began.push(Number(offset));
    },
    onChunkComplete: (_size, accepted) => {
      if (accepted < 2_000_000 || cuts) return;
      cuts += 1;
      wire.cut();
      setTimeout(wire.mend, 300);
    },
  });
  sent.upload.start();
  await sent.done;
  expect(cuts).toBe(1);
  expect(Math.min(...began.slice(1))).toBeGreaterThan(0);
  expect((await read(sent.uuid(), access)).equals(data)).toBe(true);
  await wire.close();
});

it('resumes an upload that another client object began, and ends one that is not wanted', async () => {
  const access = await signIn();
  const data = random(2_000_000);
  let accepted = 0;
  const first = send(data, access, server!.url, {
    chunkSize: 500_000,
    onChunkComplete: (_size, now) => {
      accepted = now;
      void first.upload.abort();
    },
  });
  first.upload.start();
  await until('a piece is there', () => accepted > 0);
  const began: number[] = [];
  const second = send(data, access, server!.url, {
    uploadUrl: first.upload.url,
    onBeforeRequest: (request) => {
      const offset = request.getHeader('Upload-Offset');
      if (offset !== undefined) began.push(Number(offset));
    },
  });
  second.upload.start();
  await second.done;
  expect(began[0]).toBeGreaterThanOrEqual(accepted);
  expect((await read(second.uuid(), access)).equals(data)).toBe(true);

  const unwanted = send(data, access, server!.url, { chunkSize: 500_000 });
  unwanted.upload.options.onChunkComplete = () => void unwanted.upload.abort(true);
  unwanted.upload.start();
  await until('it began', () => unwanted.upload.url);
  await until('it is gone', async () => {
    const answer = await fetch(unwanted.upload.url!, {
      method: 'HEAD',
      headers: { Authorization: `Bearer ${access}`, 'Tus-Resumable': '1.0.0' },
    });
    return answer.status === 404;
  });
});
