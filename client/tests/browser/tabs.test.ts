/** Two to six tabs of one Chromium: one socket, one store; tabs that are closed, killed, cut off, and a storage that fails. */
import { existsSync } from 'node:fs';

import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { beginAgainClean } from '../support/attempts';
import { wireTo, type Wire } from '../support/proxy';
import { startServer, until } from '../support/server';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

const hasBrowser = existsSync(CHROMIUM);
if (!hasBrowser && (process.env.CI || process.env.REQUIRE_SERVER)) throw new Error(`there is no ${CHROMIUM}`);
const server = hasBrowser ? await startServer({ CHAT_MESSAGES_PER_10S: '500', CHAT_FRAMES_PER_MINUTE: '5000' }) : null;
beginAgainClean(server);

let browser: Browser;
let wire: Wire;
const contexts: BrowserContext[] = [];

beforeAll(async () => {
  if (!server) return;
  browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS, headless: true });
  wire = await wireTo(server.url);
});
afterEach(async () => {
  wire?.mend();
  for (const context of contexts.splice(0)) await context.close();
});
afterAll(async () => {
  await browser?.close();
  await wire?.close();
  await server?.remove();
});

async function newContext(): Promise<BrowserContext> {
  const context = await browser.newContext({ viewport: { width: 1180, height: 780 }, locale: 'en-GB' });
  contexts.push(context);
  return context;
}

async function openTab(context: BrowserContext, path = '/'): Promise<Page> {
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  await page.goto(`${wire.url}${path}`);
  return page;
}

const connected = (page: Page) => page.getByRole('status').getByText('Connected').first().waitFor();

async function signIn(page: Page, name: string): Promise<Page> {
  await page.getByRole('button', { name, exact: true }).click();
  await connected(page);
  return page;
}

/** The chat of Alice and Bob; its path, to open it in other tabs. */
async function openChat(page: Page): Promise<string> {
  await page.getByRole('button', { name: 'New chat' }).click();
  await page.getByLabel('Find people by name').fill('bob');
  await page.getByRole('checkbox', { name: 'bob' }).check();
  await page.getByRole('button', { name: 'Start' }).click();
  await page.getByRole('log').waitFor();
  return `/${new URL(page.url()).hash}`;
}

async function write(page: Page, text: string): Promise<void> {
  await page.getByRole('textbox', { name: 'Message' }).fill(text);
  await page.keyboard.press('Enter');
}

/** What begins like this, in the order in which it is shown. */
async function shown(page: Page, start: string): Promise<string[]> {
  return (await page.locator('.message .content').allTextContents()).map((text) => text.trim()).filter((text) => text.startsWith(start));
}
const shows = (page: Page, start: string, texts: string[]) =>
  until(`${texts.join(', ')} on the page`, async () => (await shown(page, start)).join() === texts.join()).catch(async () =>
    expect(await shown(page, start)).toEqual(texts),
  );

/** How many sockets the server counts for this browser's session. */
function sockets(page: Page): Promise<number> {
  return page.evaluate(async () => {
    const headers = { Authorization: `Bearer ${localStorage.getItem('access_token')}` };
    const response = await fetch('/api/users/sessions/', { headers });
    const body = await response.json();
    const rows: Array<{ is_current: boolean; sockets: number }> = Array.isArray(body) ? body : body.results;
    return rows.find(({ is_current }) => is_current)!.sockets;
  });
}
const oneSocket = (page: Page) => until('one socket', async () => (await sockets(page)) === 1);

/** The tab ends as by `kill -9`. */
async function crash(page: Page): Promise<void> {
  const devtools = await page.context().newCDPSession(page);
  const crashed = new Promise((done) => page.once('crash', done));
  void devtools.send('Page.crash').catch(() => {});
  await crashed;
}

describe.skipIf(!server)('tabs', () => {
  it.each([2, 6])('%i of them share one socket, and go on when the first is closed', async (count) => {
    const run = `${count}-tabs`;
    const context = await newContext();
    const first = await signIn(await openTab(context), 'alice');
    const path = await openChat(first);
    const others: Page[] = [];
    for (let n = 1; n < count; n++) others.push(await openTab(context, path));
    for (const page of others) await connected(page);
    await oneSocket(first);

    await write(others[0]!, `${run} of the second`);
    await write(first, `${run} of the first`);
    for (const page of [first, ...others]) await until('both', async () => (await shown(page, run)).length === 2);
    const before = await shown(first, run);
    await first.close();
    const survivor = others.at(-1)!;
    await write(survivor, `${run} after the close`);
    for (const page of others) await shows(page, run, [...before, `${run} after the close`]);
    await oneSocket(survivor);
  });

  it('send what a killed tab could not, once and in order, and lose nothing of their own', { retry: 0 }, async () => {
    const context = await newContext();
    const first = await signIn(await openTab(context), 'alice');
    const path = await openChat(first);
    const second = await openTab(context, path);
    await connected(second);
    wire.cut();
    await write(first, 'killed one');
    await write(first, 'killed two');
    await write(second, 'killed not');
    await first.waitForTimeout(300);
    await crash(first);
    wire.mend();
    const third = await openTab(context, path);
    for (const page of [second, third]) {
      await until('all three', async () => (await shown(page, 'killed')).length === 3);
      await until('sent', async () => (await page.locator('.message.sending, .message.failed').count()) === 0);
    }
    const { results } = await third.evaluate(async (uuid) => {
      const headers = { Authorization: `Bearer ${localStorage.getItem('access_token')}` };
      return (await fetch(`/api/chat/conversations/${uuid}/messages/?limit=50`, { headers })).json();
    }, path.split('/').pop());
    const stored = (results as Array<{ seq: number; content: string }>)
      .sort((a, b) => a.seq - b.seq)
      .map(({ content }) => content)
      .filter((content) => content.startsWith('killed'));
    expect([...stored].sort()).toEqual(['killed not', 'killed one', 'killed two']);
    expect(stored.indexOf('killed one')).toBeLessThan(stored.indexOf('killed two'));
  });

  it('of two people side by side keep nothing of each other', async () => {
    const context = await newContext();
    const alice = await signIn(await openTab(context), 'alice');
    const path = await openChat(alice);
    const bob = await openTab(context, '/?as=bob');
    await connected(bob);
    await write(alice, 'side by side');
    await bob.goto(`${wire.url}/?as=bob${path.slice(1)}`);
    await shows(bob, 'side', ['side by side']);
    await alice.reload();
    await shows(alice, 'side', ['side by side']);
    expect(await alice.evaluate(async () => (await indexedDB.databases()).map(({ name }) => name))).toContain('alviar');
  });
});

describe.skipIf(!server)('the store in IndexedDB', () => {
  it('shows the chats after a kill, without a network', async () => {
    const context = await newContext();
    const page = await signIn(await openTab(context), 'alice');
    const path = await openChat(page);
    await write(page, 'offline kept');
    await shows(page, 'offline', ['offline kept']);
    await until('written', () =>
      page.evaluate(
        () =>
          new Promise<boolean>((done) => {
            const opening = indexedDB.open('alviar');
            opening.onsuccess = () => {
              const read = opening.result.transaction('items').objectStore('items').getAll();
              read.onsuccess = () => (opening.result.close(), done(read.result.join().includes('offline kept')));
            };
          }),
      ),
    );
    await crash(page);
    const again = await context.newPage();
    // The page itself is there, the server's interface is not.
    await again.route('**/api/**', (route) => route.abort());
    await again.addInitScript(() => Object.assign(globalThis, { WebSocket: class { close() {} } }));
    await again.goto(`${wire.url}${path}`);
    await shows(again, 'offline', ['offline kept']);
  });

  it('that is full, removed under the page or slow stops nobody', async () => {
    const context = await newContext();
    await context.addInitScript(() => {
      const { open } = IDBFactory.prototype;
      // Every opening takes a second and a half.
      Object.defineProperty(IDBFactory.prototype, 'open', {
        value(this: IDBFactory, name: string, version?: number) {
          const real = open.call(this, name, version);
          const late: Record<string, unknown> = { get result() { return real.result; }, get error() { return real.error; } };
          real.onupgradeneeded = () => (late.onupgradeneeded as () => void)?.();
          real.onsuccess = () => setTimeout(() => (late.onsuccess as () => void)?.(), 1_500);
          real.onerror = () => (late.onerror as () => void)?.();
          return late;
        },
      });
    });
    const page = await signIn(await openTab(context), 'alice');
    await openChat(page);
    await write(page, 'slow');
    await shows(page, 'slow', ['slow']);
    const devtools = await context.newCDPSession(page);
    await devtools.send('Storage.overrideQuotaForOrigin', { origin: new URL(wire.url).origin, quotaSize: 1 });
    await write(page, 'full');
    await shows(page, 'full', ['full']);
    await devtools.send('Storage.overrideQuotaForOrigin', { origin: new URL(wire.url).origin });
    const removed = await page.evaluate(
      () =>
        new Promise<string>((done) => {
          const request = indexedDB.deleteDatabase('alviar');
          request.onsuccess = () => done('removed');
          request.onblocked = () => done('blocked');
        }),
    );
    expect(removed).toBe('removed');
    await write(page, 'gone');
    await shows(page, 'gone', ['gone']);
    await page.reload();
    await connected(page);
    await shows(page, 'gone', ['gone']);
  });
});
