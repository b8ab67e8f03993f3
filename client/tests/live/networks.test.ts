/** Wires that swallow, slow down and are cut, second factors and uploads, from Node against a real server process. */
import { createHmac } from 'node:crypto';

import { afterAll, afterEach, describe, expect, it } from 'vitest';
import WebSocket from 'ws';

import { Accounts, mfaRequired, reauthenticationRequired } from '@/accounts';
import { AuthClient } from '@/core/auth';
import { ChatClient } from '@/core/chatClient';
import { ConnectionState } from '@/core/connection';
import { ApiError } from '@/core/errors';
import { memoryStorage } from '@/core/storage';
import { uuid4 } from '@/core/uuid';
import { attachmentMeta, uploadAttachment, UploadCancelled, uploadResumable } from '@/media';
import { beginAgainClean } from '../support/attempts';
import { wireTo } from '../support/proxy';
import { mailedCode, startServer, until } from '../support/server';

const server = await startServer({ CHAT_MESSAGES_PER_10S: '2000', CHAT_FRAMES_PER_MINUTE: '20000' });
beginAgainClean(server);

const closing: Array<() => unknown> = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});
afterAll(() => server?.remove());

async function wire() {
  const made = await wireTo(server!.url);
  closing.push(made.close);
  return made;
}

async function signedIn(username: string, baseUrl = server!.url) {
  const auth = new AuthClient({ baseUrl, storage: memoryStorage(), deviceFingerprint: uuid4(), language: 'en' });
  closing.push(auth.start());
  await auth.login(username, 'alviar-demo');
  return auth;
}

async function connected(auth: AuthClient) {
  const chat = new ChatClient({ auth, WebSocket });
  closing.push(chat.close);
  await chat.connect();
  await until('connected', () => chat.hello);
  return chat;
}

describe.skipIf(!server)('a network', () => {
  it('that swallows everything is noticed when a message is sent, which arrives once when it is back', async () => {
    const hole = await wire();
    const auth = await signedIn('alice', hole.url);
    const chat = await connected(auth);
    const { uuid } = await chat.openDirect((await signedIn('bob')).user!.id);
    hole.swallow();
    const text = `swallowed ${uuid4()}`;
    chat.sendMessage(uuid, text);
    // 2 s without an answer, then 3 s without a pong. The heartbeat alone would take 35 s.
    await until('noticed', () => chat.state !== ConnectionState.Open);
    expect(chat.unsentCount).toBe(1);
    hole.cut();
    hole.mend();
    await until('acknowledged', () => chat.unsentCount === 0);
    await chat.loadNewest(uuid);
    expect(chat.timeline(uuid).filter(({ content }) => content === text)).toHaveLength(1);
  });

  it('that takes a second for everything is not taken for dead', async () => {
    const slow = await wire();
    const chat = await connected(await signedIn('alice', slow.url));
    const { uuid } = await chat.openDirect((await signedIn('bob')).user!.id);
    slow.slow(1_000);
    const states: string[] = [];
    chat.on('state', (state) => states.push(state));
    const text = `slow ${uuid4()}`;
    chat.sendMessage(uuid, text);
    await until('acknowledged', () => chat.unsentCount === 0);
    expect(states).toEqual([]);
  });
});

describe.skipIf(!server)('an upload', () => {
  const text = new Blob(['Bonjour à tous\n'], { type: 'text/plain' });

  it('in one request is attached to a message that the other one reads', async () => {
    const [alice, bob] = [await signedIn('alice'), await signedIn('bob')];
    const [chat, theirs] = [await connected(alice), await connected(bob)];
    const parts: number[] = [];
    const attachment = await uploadAttachment(alice, text, { name: 'été.txt', onProgress: (part) => parts.push(part) });
    expect(attachment).toMatchObject({ kind: 'file', name: 'été.txt' });
    expect(parts.at(-1)).toBe(1);
    const { uuid } = await chat.openDirect(bob.user!.id);
    const id = chat.sendMessage(uuid, 'Here', { attachments: [attachment] });
    const got = await until('it is there', () => theirs.timeline(uuid).find(({ client_msg_id }) => client_msg_id === id));
    expect(got.attachments.map(({ name }) => name)).toEqual(['été.txt']);
    const read = await bob.fetch(got.attachments[0]!.url);
    expect(await read.text()).toBe('Bonjour à tous\n');
  });

  it('is called off before it begins, and refused by the server in its words', async () => {
    const auth = await signedIn('alice');
    await expect(uploadAttachment(auth, text, { signal: AbortSignal.abort() })).rejects.toBeInstanceOf(UploadCancelled);
    await expect(uploadAttachment(auth, new Blob([]), { name: 'empty.txt' })).rejects.toBeInstanceOf(ApiError);
  });

  it('in pieces goes on after the wire was cut, and in another process, where the server has it', async () => {
    const cutting = await wire();
    const auth = await signedIn('alice', cutting.url);
    const bytes = new Uint8Array(600_000).map((_, index) => index % 251);
    const file = new Blob([bytes], { type: 'application/octet-stream' });
    const parts: number[] = [];
    let uploadUrl = '';
    const first = uploadResumable(auth, file, {
      name: 'big.bin',
      chunkBytes: 100_000,
      onBegun: (url) => (uploadUrl = url),
      onProgress(part) {
        parts.push(part);
        if (parts.length === 2) {
          cutting.cut();
          setTimeout(cutting.mend, 500);
        }
      },
    });
    const attachment = await first;
    expect(parts).toEqual([...parts].sort((a, b) => a - b));
    expect(parts.at(-1)).toBe(1);
    await until('ready', async () => (await attachmentMeta(auth, attachment.uuid)).state === 'ready');

    // The app is killed after two pieces; the next start knows the address.
    const killed = uploadResumable(auth, file, {
      name: 'again.bin',
      chunkBytes: 100_000,
      onBegun: (url) => (uploadUrl = url),
      onProgress: (part) => {
        if (part > 0.3) throw new Error('killed');
      },
    });
    await expect(killed).rejects.toThrow('killed');
    const after = await signedIn('alice');
    // Another session of the same person on another address.
    const url = uploadUrl.replace(cutting.url, server!.url);
    const resumed: number[] = [];
    const again = await uploadResumable(after, file, { name: 'again.bin', chunkBytes: 100_000, uploadUrl: url, onProgress: (part) => resumed.push(part) });
    expect(resumed[0]).toBeGreaterThan(0.4);
    expect(again.size).toBe(600_000);
  });

  it('in pieces that is called off leaves nothing on the server', async () => {
    const auth = await signedIn('alice');
    const stop = new AbortController();
    let uploadUrl = '';
    const running = uploadResumable(auth, new Blob([new Uint8Array(300_000)]), {
      chunkBytes: 50_000,
      signal: stop.signal,
      onBegun: (url) => (uploadUrl = url),
      onProgress: () => stop.abort(),
    });
    await expect(running).rejects.toBeInstanceOf(UploadCancelled);
    const gone = await until('removed', async () => {
      const { status } = await auth.fetch(uploadUrl, { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } });
      return status >= 400 && status;
    });
    expect([404, 410]).toContain(gone);
  });
});

/** What an authenticator app shows (RFC 6238), so many steps of 30 s from now. */
function totp(secret: string, steps = 0): string {
  const bits = [...secret].map((letter) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from(bits.match(/.{8}/g)!.map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
  const digest = createHmac('sha1', key).update(counter).digest();
  return String((digest.readUInt32BE(digest[19]! & 15) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

describe.skipIf(!server)('a second factor', () => {
  it('is set up, asked for at the next login, satisfied by a code once and by a recovery code, and taken away', async () => {
    const auth = await signedIn('charlie');
    const accounts = new Accounts(auth);
    expect(accounts.isFresh()).toBe(true);
    const { secret } = await accounts.beginTotp();
    const { recovery_codes } = await accounts.confirmTotp(totp(secret));
    expect((await accounts.factors()).recovery_codes_left).toBe(recovery_codes.length);

    const fresh = new AuthClient({ baseUrl: server!.url, storage: memoryStorage(), deviceFingerprint: uuid4() });
    closing.push(fresh.start());
    const second = new Accounts(fresh);
    const asked = mfaRequired(await fresh.login('charlie', 'alviar-demo').catch((error: unknown) => error));
    expect(asked!.methods).toEqual(expect.arrayContaining(['totp', 'recovery_code']));
    expect(fresh.getSnapshot().status).toBe('signed_out');
    const wrong = await second.verifyMfa(asked!.mfa_token, { code: '000000' }).catch((error: unknown) => error);
    expect(wrong).toBeInstanceOf(ApiError);
    await second.verifyMfa(asked!.mfa_token, { code: recovery_codes[0]! });
    expect(fresh.user!.username).toBe('charlie');
    expect((await second.factors()).recovery_codes_left).toBe(recovery_codes.length - 1);

    const proofs: unknown[] = [];
    await accounts.whenFresh(
      () => accounts.removeTotp(),
      async (methods) => {
        proofs.push(methods);
        return { password: 'alviar-demo' };
      },
    );
    expect((await accounts.factors()).totp).toBeNull();
    expect(reauthenticationRequired(new Error('no'))).toBeNull();
    await fresh.logout();
    await fresh.login('charlie', 'alviar-demo');
    expect(fresh.getSnapshot().status).toBe('signed_in');
  });

  it('is not needed by who signs in with a mailed code', async () => {
    const auth = await signedIn('bob');
    const address = auth.user!.email;
    const mails = server!.mailsTo(address).length;
    const fresh = new AuthClient({ baseUrl: server!.url, storage: memoryStorage(), deviceFingerprint: uuid4() });
    closing.push(fresh.start());
    const accounts = new Accounts(fresh);
    const { challenge } = await accounts.requestEmailCode(address);
    const code = await until('the mail', () => mailedCode(server!, address, mails));
    await accounts.signInWithEmailCode(challenge, code);
    expect(fresh.user!.username).toBe('bob');
  });
});
