/** The page at `/` in a real Chromium, with windows of several people. Screenshots go to test-artefacts/. */
import { createHmac } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { beginAgainClean } from '../support/attempts';
import { wireTo } from '../support/proxy';
import { startServer, until } from '../support/server';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const ARTEFACTS = process.env.CI_ARTEFACTS ?? join(import.meta.dirname, '../../../test-artefacts');
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const DESKTOP = { width: 1180, height: 780 };
const PHONE = { width: 360, height: 720 };

const hasBrowser = existsSync(CHROMIUM);
if (!hasBrowser) {
  if (process.env.CI || process.env.REQUIRE_SERVER) throw new Error(`there is no ${CHROMIUM}`);
  console.warn(`\n!!! SKIPPED: no browser at ${CHROMIUM}; install Debian's chromium or set CHROMIUM\n`);
}
const server = hasBrowser
  ? await startServer({
      CHAT_MESSAGES_PER_10S: '500',
      CHAT_FRAMES_PER_MINUTE: '5000',
      TRUSTED_PROXY_COUNT: '1',
      RATE_PASSWORD_RESET: '0',
    })
  : null;
beginAgainClean(server);

let browser: Browser;
const contexts: BrowserContext[] = [];
const problems: string[] = [];

beforeAll(async () => {
  if (!server) return;
  mkdirSync(ARTEFACTS, { recursive: true });
  browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS, headless: true });
});
afterEach(async ({ task }) => {
  // A failing test prints each window's content: the report alone has to do on a machine that nobody can look at.
  if (task.result?.state === 'fail') {
    for (const page of contexts.flatMap((context) => context.pages())) {
      const shown = await page.locator('body').ariaSnapshot({ timeout: 5_000 }).catch(String);
      console.error(`--- ${page.url()}\n${shown.slice(0, 4_000)}`);
    }
  }
  for (const context of contexts.splice(0)) await context.close();
  expect(problems.splice(0)).toEqual([]);
});
afterAll(async () => {
  await browser?.close();
  await server?.remove();
});

/** A window of its own: nothing is shared with the others. */
async function openWindow(options: BrowserContextOptions = {}, url = server!.url): Promise<Page> {
  const context = await browser.newContext({ viewport: DESKTOP, locale: 'en-GB', ...options });
  contexts.push(context);
  return openTab(context, url);
}

async function openTab(context: BrowserContext, url = server!.url): Promise<Page> {
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('console', (message) => {
    // A cut wire and a refused password are part of the play; a policy that is broken is not.
    if (/Content.Security.Policy|Refused to/i.test(message.text())) problems.push(message.text());
  });
  await page.goto(url);
  return page;
}

async function signIn(page: Page, name: string): Promise<Page> {
  await page.getByRole('button', { name, exact: true }).click();
  await page.getByRole('status').getByText('Connected').first().waitFor();
  return page;
}

async function openChatWith(page: Page, name: string): Promise<void> {
  await page.getByRole('button', { name: 'New chat' }).click();
  await page.getByLabel('Find people by name').fill(name);
  await page.getByRole('checkbox', { name }).check();
  await page.getByRole('button', { name: 'Start' }).click();
  await page.getByRole('log').waitFor();
}

async function write(page: Page, text: string): Promise<void> {
  await page.getByRole('textbox', { name: 'Message' }).fill(text);
  await page.keyboard.press('Enter');
}

const bubble = (page: Page, text: string) => page.locator('.message').filter({ hasText: text }).last();
const contents = (page: Page) => page.locator('.message .content').allTextContents();
const shot = (page: Page, name: string) => page.screenshot({ path: join(ARTEFACTS, `${name}.png`) });
const overflow = (page: Page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
const act = async (page: Page, text: string, action: string) => {
  await bubble(page, text).hover();
  await bubble(page, text).getByRole('button', { name: 'Actions' }).click();
  const role = action.startsWith('React') ? 'menuitemcheckbox' : 'menuitem';
  await page.getByRole('menu', { name: 'Actions' }).getByRole(role, { name: action }).click();
};
const openAccount = (page: Page) => page.locator('.account').click();
const signOut = async (page: Page) => {
  await openAccount(page);
  await page.getByRole('button', { name: 'Sign out' }).click();
};
const accountOf = (page: Page, name: string) => page.getByRole('button', { name: `Account: ${name}` }).waitFor();
const goTo = (page: Page, place: string) => page.evaluate((hash) => void (location.hash = hash), `#/${place}`);

/** What an authenticator app shows (RFC 6238), so many steps of 30 s from now. */
function totp(secret: string, steps = 0): string {
  const bits = [...secret].map((letter) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from(bits.match(/.{8}/g)!.map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
  const digest = createHmac('sha1', key).update(counter).digest();
  const number = digest.readUInt32BE(digest[19]! & 15) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, '0');
}

/** A name that nobody took yet: a test that is run once more finds its first person there. */
const takenNames = new Set<string>();
function freeName(name: string): string {
  let free = name;
  for (let count = 2; takenNames.has(free); count++) free = `${name}${count}`;
  takenNames.add(free);
  return free;
}

async function registered(page: Page, name: string): Promise<void> {
  await page.getByRole('button', { name: 'Create an account' }).click();
  await page.getByLabel('Username').fill(name);
  await page.getByLabel('E-mail').fill(`${name}@example.com`);
  await page.getByLabel('Password', { exact: true }).fill('a-long-first-secret');
  await page.getByLabel('Password, again').fill('a-long-first-secret');
  await page.getByRole('button', { name: 'Create an account' }).click();
  await page.getByText('Connected').first().waitFor();
}

/** The id of the direct conversation, from the address. */
const current = (page: Page) => page.url().split('/').pop()!;

describe.skipIf(!server)('the page', () => {
  it('lets two people chat: unread, typing, receipts, reactions, replies, edits, deletions', async () => {
    const alice = await openWindow();
    await shot(alice, 'sign-in');
    await signIn(alice, 'alice');
    const bob = await signIn(await openWindow(), 'bob');
    await shot(bob, 'empty');

    await openChatWith(alice, 'Bob');
    await write(alice, 'Salam Bob, tu es là ?');
    const row = bob.getByRole('navigation', { name: 'Chats' }).getByRole('link', { name: /Alice/ });
    await row.waitFor();
    await row.getByLabel('1 unread').waitFor();
    await until('the title counts it', async () => (await bob.title()) === '(1) Alviar');
    await bubble(alice, 'Salam Bob').getByLabel('Sent').waitFor();

    await row.click();
    await bubble(bob, 'Salam Bob').waitFor();
    expect(await bob.locator('.day').first().textContent()).toBe('today');
    await bubble(alice, 'Salam Bob').getByLabel('Seen').waitFor();
    await until('the title counts nothing', async () => (await bob.title()) === 'Alviar');

    await bob.getByRole('textbox', { name: 'Message' }).pressSequentially('Oui');
    await alice.getByText('Bob is typing…').first().waitFor();
    await shot(alice, 'typing');
    await bob.keyboard.press('Enter');
    await bubble(alice, 'Oui').waitFor();
    await until('typing has ended', async () => (await alice.locator('.typing').textContent()) === '');

    await act(alice, 'Oui', 'React with 👍');
    await bubble(bob, 'Oui').getByRole('button', { name: '👍 1' }).waitFor();
    await bubble(bob, 'Oui').getByRole('button', { name: '👍 1' }).click();
    await bubble(alice, 'Oui').getByRole('button', { name: '👍 2' }).waitFor();

    await act(bob, 'Salam Bob', 'Reply');
    await write(bob, 'Je réponds à ta question');
    await bubble(alice, 'Je réponds').locator('blockquote').getByText('Salam Bob').waitFor();

    await alice.getByRole('textbox', { name: 'Message' }).focus();
    await alice.keyboard.press('ArrowUp');
    await until('the text is in the field', async () => /Salam/.test(await alice.getByRole('textbox', { name: 'Message' }).inputValue()));
    await write(alice, 'Salam Bob, tu es là maintenant ?');
    const edited = bob.locator('.message', { has: bob.locator('.content', { hasText: 'là maintenant' }) }).last();
    await edited.getByText('edited').waitFor();
    await bubble(bob, 'Je réponds').locator('blockquote').getByText('là maintenant').waitFor();

    await act(bob, 'Je réponds', 'Delete');
    await alice.getByText('Message deleted').first().waitFor();

    await alice.setViewportSize(DESKTOP);
    await shot(alice, 'chat');
    await alice.emulateMedia({ colorScheme: 'dark' });
    await bubble(alice, 'Oui').hover();
    await bubble(alice, 'Oui').getByRole('button', { name: 'Actions' }).click();
    await shot(alice, 'chat-dark-menu');
    await until('both windows agree', async () => `${await contents(alice)}` === `${await contents(bob)}`);
  });

  it('has groups, with the names of those who write', async () => {
    const alice = await signIn(await openWindow({ viewport: PHONE }), 'alice');
    const bob = await signIn(await openWindow(), 'bob');
    await alice.getByRole('button', { name: 'New chat' }).click();
    for (const name of ['Bob', 'Charlie']) {
      await alice.getByLabel('Find people by name').fill(name);
      await alice.getByRole('checkbox', { name }).check();
    }
    await alice.getByLabel('Name of the group').fill('Week-end');
    await shot(alice, 'new-group-phone');
    await alice.getByRole('button', { name: 'Start' }).click();
    await alice.getByText('3 members').waitFor();
    await bob.getByRole('link', { name: /Week-end/ }).click();
    await write(bob, 'On part samedi ?');
    await bubble(alice, 'samedi').getByText('Bob', { exact: true }).waitFor();
    await write(alice, 'Oui, à 8 h.');
    await bubble(bob, '8 h').waitFor();
    await until('bob has seen it', async () => (await bubble(alice, '8 h').getByLabel('Seen by Bob').count()) === 1);
    await shot(alice, 'group-phone');
    expect(await overflow(alice)).toBeLessThanOrEqual(0);
    await alice.locator('.back').click();
    await shot(alice, 'list-phone');
  });

  it('keeps what is written offline and catches up on what was missed', { retry: 0 }, async () => {
    const wire = await wireTo(server!.url);
    const alice = await signIn(await openWindow(), 'alice');
    const bob = await signIn(await openWindow({}, wire.url), 'bob');
    await openChatWith(alice, 'Bob');
    await openChatWith(bob, 'Alice');
    await write(alice, 'before the tunnel');
    await bubble(bob, 'before the tunnel').waitFor();

    wire.cut();
    await bob.getByText('Reconnecting…').first().waitFor();
    await write(bob, 'written in the tunnel 1');
    await write(bob, 'written in the tunnel 2');
    await bubble(bob, 'tunnel 2').getByLabel('Sending').waitFor();
    await write(alice, 'missed 1');
    await write(alice, 'missed 2');
    await bubble(alice, 'missed 2').getByLabel('Sent').waitFor();
    await shot(bob, 'offline');
    expect(await alice.getByText('written in the tunnel').count()).toBe(0);

    wire.mend();
    await bob.evaluate(() => dispatchEvent(new Event('online')));
    await bubble(alice, 'tunnel 2').waitFor();
    await bubble(bob, 'missed 2').waitFor();
    await until('both windows agree', async () => `${await contents(alice)}` === `${await contents(bob)}`);
    const last = (await contents(bob)).slice(-5);
    expect([...last].sort()).toEqual(
      ['before the tunnel', 'missed 1', 'missed 2', 'written in the tunnel 1', 'written in the tunnel 2'].sort(),
    );
    await wire.close();
  });

  it('proves that a refresh under traffic loses nothing', { retry: 0 }, async () => {
    const alice = await signIn(await openWindow(), 'alice');
    const bob = await signIn(await openWindow(), 'bob');
    await openChatWith(alice, 'Bob');
    await openChatWith(bob, 'Alice');
    const talk = current(alice);
    await goTo(alice, 'settings/connection');
    const written = Array.from({ length: 30 }, (_, i) => `traffic ${i}.`);
    const sending = (async () => {
      for (const text of written) await write(bob, text);
    })();
    for (let round = 0; round < 3; round++) {
      await alice.getByRole('button', { name: 'Refresh now' }).click();
      await alice.getByTestId('refresh-result').getByText(/New token on the same socket/).waitFor();
      await until('the button rests', async () => (await alice.getByRole('button', { name: 'Refresh now' }).getAttribute('aria-disabled')) === 'false');
    }
    await shot(alice, 'refresh-now');
    await sending;
    await until('all have come', async () => Number(await alice.getByTestId('received').textContent()) >= 30);
    expect(await alice.getByTestId('missing').textContent()).toBe('0');
    expect(await alice.getByTestId('repeated').textContent()).toBe('0');
    expect(await alice.locator('.facts .countdown').textContent()).toMatch(/^(60:00|5\d:\d\d)$/);
    await goTo(alice, `chat/${talk}`);
    await alice.getByText('New messages').waitFor();
    await alice.getByRole('button', { name: 'Jump to the latest message' }).click();
    await bubble(alice, 'traffic 29.').waitFor();
    expect((await contents(alice)).filter((text) => text.startsWith('traffic')).slice(-12)).toEqual(written.slice(-12));
  });

  it('reads the history back to its beginning and keeps the place', async () => {
    const alice = await signIn(await openWindow(), 'alice');
    await openChatWith(alice, 'Charlie');
    const token = await alice.evaluate(() => localStorage.getItem('access_token'));
    for (let i = 0; i < 130; i++) {
      await fetch(`${server!.url}/api/chat/conversations/${current(alice)}/messages/`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
        body: JSON.stringify({ content: `history ${i}.`, client_msg_id: crypto.randomUUID() }),
      });
    }
    await alice.reload();
    await bubble(alice, 'history 129.').waitFor();
    expect(await bubble(alice, 'history 129.').isVisible()).toBe(true);
    const log = alice.getByRole('log');
    await until('the beginning is there', async () => {
      await log.evaluate((element) => (element.scrollTop = Math.max(0, element.scrollTop - 400)));
      return alice.getByText('This is the beginning.').isVisible();
    });
    await until('the first ones are there, in order', async () => {
      await log.evaluate((element) => (element.scrollTop = 0));
      const first = await contents(alice);
      return `${first}` === `${Array.from({ length: first.length }, (_, i) => `history ${i}.`)}`;
    });
    await log.evaluate((element) => (element.scrollTop = 300));
    await write(alice, 'at the end.');
    await until('who writes sees it', () =>
      bubble(alice, 'at the end.').evaluate((row) => row.getBoundingClientRect().bottom <= innerHeight).catch(() => false));
  });

  it('takes as seen what has been displayed, and no more', async () => {
    const alice = await signIn(await openWindow(), 'alice');
    const charlie = await signIn(await openWindow(), 'charlie');
    await openChatWith(alice, 'Charlie');
    await openChatWith(charlie, 'Alice');
    for (let i = 0; i < 30; i++) await write(charlie, `tall ${i}.`);
    await bubble(alice, 'tall 29.').waitFor();
    await bubble(charlie, 'tall 29.').getByLabel('Seen').waitFor();
    await alice.getByRole('log').evaluate((element) => (element.scrollTop = 0));
    await write(charlie, 'below the edge');
    await alice.getByRole('link', { name: /Charlie/ }).getByLabel('1 unread').waitFor();
    await bubble(charlie, 'below the edge').getByLabel('Sent').waitFor();
    await alice.getByRole('log').evaluate((element) => (element.scrollTop = element.scrollHeight));
    await bubble(charlie, 'below the edge').getByLabel('Seen').waitFor();
  });

  it('lets two people sit side by side in one browser', async () => {
    const alice = await signIn(await openWindow(), 'alice');
    const context = alice.context();
    const bob = await openTab(context, `${server!.url}/?as=bob`);
    await bob.getByRole('status').getByText('Connected').first().waitFor();
    await bob.reload();
    await bob.getByRole('status').getByText('Connected').first().waitFor();
    await accountOf(bob, 'bob');
    await alice.reload();
    await alice.getByRole('status').getByText('Connected').first().waitFor();
    await accountOf(alice, 'alice');
    await openChatWith(bob, 'Alice');
    await write(bob, 'from the other half of the screen');
    await alice.getByRole('link', { name: /Bob/ }).click();
    await bubble(alice, 'other half').waitFor();
  });

  it('lets more tabs be open than one may have sockets', async () => {
    const tabs = [await signIn(await openWindow(), 'charlie')];
    for (let tab = 0; tab < 4; tab++) tabs.push(await openTab(tabs[0]!.context()));
    for (const page of tabs) await page.getByRole('status').getByText('Connected').first().waitFor();
  });

  it('says on a phone, inside a conversation, that the connection is lost', async () => {
    const wire = await wireTo(server!.url);
    const alice = await signIn(await openWindow({ viewport: PHONE }, wire.url), 'alice');
    await openChatWith(alice, 'Bob');
    wire.cut();
    await alice.getByText('No connection.').waitFor();
    await shot(alice, 'offline-phone');
    wire.mend();
    await alice.getByRole('button', { name: 'Connect now' }).click();
    await alice.getByText('No connection.').waitFor({ state: 'hidden' });
    await wire.close();
  });

  it('says every fault of a form at its field at once, and asks for the address to be confirmed', async () => {
    const eve = await openWindow();
    await eve.getByRole('button', { name: 'Create an account' }).click();
    const type = async (label: string, text: string) => eve.getByLabel(label, { exact: true }).fill(text);
    await type('Username', 'eve smith!');
    await type('E-mail', 'eve@nowhere');
    await type('Password', 'password');
    await type('Password, again', 'password');
    await eve.getByRole('button', { name: 'Create an account' }).click();
    await until('every field says what is wrong', async () => (await eve.locator('[aria-invalid=true]').count()) >= 2);
    await until('the first of them has the focus', async () =>
      eve.evaluate(() => (document.activeElement as HTMLInputElement).name === 'username'),
    );
    await shot(eve, 'field-errors');
    const name = freeName('eve');
    await type('Username', `${name}.smith`);
    await type('E-mail', `${name}@example.com`);
    await type('Password', 'a-long-first-secret');
    await type('Password, again', 'a-long-first-secret');
    await eve.getByRole('button', { name: 'Create an account' }).click();
    await eve.getByText(`Please confirm your address ${name}@example.com`).waitFor();
  });

  it('shows my devices, and the one that is revoked is signed out at once', { retry: 0 }, async () => {
    const laptop = await signIn(await openWindow(), 'alice');
    const phone = await signIn(
      await openWindow({
        viewport: PHONE,
        userAgent: 'Mozilla/5.0 (Android 16; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0',
        // As a proxy in front of the server would say it: an address in Algiers.
        extraHTTPHeaders: { 'X-Forwarded-For': '41.96.0.1' },
      }),
      'alice',
    );
    await goTo(laptop, 'settings/devices');
    const device = laptop.getByRole('listitem').filter({ hasText: 'Firefox' }).first();
    await device.waitFor();
    expect(await device.textContent()).toMatch(/Android.*Algeria.*41\.96\.0\.1/);
    await shot(laptop, 'devices');
    await device.getByRole('button', { name: 'Sign this device out' }).click();
    await phone.getByRole('alert').getByText('This device was signed out from another one.').waitFor();
    await shot(phone, 'revoked');
    await until('nothing of it is kept', () => phone.evaluate(() => localStorage.getItem('refresh_token') === null));
    await goTo(laptop, 'settings/security');
    await laptop.getByText('A session was ended').first().waitFor();
    await shot(laptop, 'security');
  });

  it('registers a person, and lets her back in by the mailed link', async () => {
    const dana = await openWindow();
    const name = freeName('dana');
    await dana.getByRole('button', { name: 'Create an account' }).click();
    await dana.getByLabel('Username').fill(name);
    await dana.getByLabel('E-mail').fill(`${name}@example.com`);
    await dana.getByLabel('Password', { exact: true }).fill('a-long-first-secret');
    await dana.getByLabel('Password, again').fill('a-long-first-secret');
    await dana.getByRole('button', { name: 'Create an account' }).click();
    await dana.getByText('Connected').first().waitFor();
    await signOut(dana);

    await dana.getByRole('button', { name: 'Forgot your password?' }).click();
    await dana.getByLabel('E-mail').fill(`${name}@example.com`);
    await dana.getByRole('button', { name: 'Send the link' }).click();
    await dana.locator('.notice.good').first().waitFor();
    const link = await until('the mail with the link', () => {
      const text = server!.mailsTo(`${name}@example.com`).join('\n');
      return text.match(/https?:\/\/[^\s"<>]*\/reset-password\/[^\s"<>]*#token=[\w-]+/)?.[0];
    });
    await dana.goto(link);
    const fields = dana.locator('input[type=password]');
    await fields.nth(0).fill('another-long-secret');
    await fields.nth(1).fill('another-long-secret');
    await shot(dana, 'reset-password');
    const changed = dana.waitForResponse((response) => response.url().includes('password-reset/confirm'));
    await dana.locator('#act button').click();
    expect((await changed).status()).toBe(200);
    await dana.goto(server!.url);
    await dana.getByLabel('Username or e-mail').fill(name);
    await dana.getByLabel('Password').fill('a-long-first-secret');
    await dana.getByRole('button', { name: 'Sign in', exact: true }).click();
    await dana.getByRole('alert').filter({ hasText: /./ }).first().waitFor();
    await dana.getByLabel('Password').fill('another-long-secret');
    await dana.getByRole('button', { name: 'Sign in', exact: true }).click();
    await dana.getByText('Connected').first().waitFor();
  });

  it('sends files that are picked or dropped, shows them, and makes addresses links', async () => {
    const alice = await signIn(await openWindow(), 'alice');
    const bob = await signIn(await openWindow(), 'bob');
    await openChatWith(alice, 'Bob');
    await openChatWith(bob, 'Alice');
    await alice.locator('.composer input[type=file]').setInputFiles({
      name: 'holiday.png',
      mimeType: 'image/png',
      buffer: await alice.screenshot(),
    });
    await alice.getByRole('img', { name: 'Ready' }).waitFor();
    await alice.getByRole('log').evaluate((log) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File(['Bring sun cream.'], 'list.txt', { type: 'text/plain' }));
      log.dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }));
    });
    await until('both files are there', async () => (await alice.getByRole('img', { name: 'Ready' }).count()) === 2);
    await write(alice, 'See https://example.com/a?b=1 (or javascript:alert(1)).');
    const message = bubble(bob, 'See https');
    const picture = message.locator('.picture img');
    await until('the picture is shown', () => picture.evaluate((image: HTMLImageElement) => image.complete && image.naturalWidth > 100));
    expect(await message.locator('.content a').evaluateAll((links) => links.map((link) => (link as HTMLAnchorElement).href))).toEqual([
      'https://example.com/a?b=1',
    ]);
    const download = bob.waitForEvent('download');
    await message.getByRole('button', { name: 'Download: list.txt' }).click();
    expect((await download).suggestedFilename()).toBe('list.txt');
    await message.locator('.picture').click();
    await bob.getByRole('dialog', { name: 'holiday.png' }).getByRole('img').waitFor();
    await shot(bob, 'picture');
    await bob.keyboard.press('Escape');
    await bob.getByRole('dialog').waitFor({ state: 'detached' });
    await shot(bob, 'attachments');
    // A message of nothing but a file.
    await alice.locator('.composer input[type=file]').setInputFiles({ name: 'alone.txt', mimeType: 'text/plain', buffer: Buffer.from('x') });
    await alice.getByRole('img', { name: 'Ready' }).waitFor();
    await alice.getByRole('button', { name: 'Send' }).click();
    await bubble(bob, 'alone.txt').waitFor();
  });

  it('finds messages by their words, goes to their place and back to the latest', async () => {
    const alice = await signIn(await openWindow(), 'alice');
    await openChatWith(alice, 'Charlie');
    await write(alice, 'The rare word is quetzalcoatl.');
    await bubble(alice, 'quetzal').getByLabel(/Sent|Seen/).waitFor();
    const token = await alice.evaluate(() => localStorage.getItem('access_token'));
    for (let i = 0; i < 120; i++) {
      await fetch(`${server!.url}/api/chat/conversations/${current(alice)}/messages/`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
        body: JSON.stringify({ content: `filler ${i}.`, client_msg_id: crypto.randomUUID() }),
      });
    }
    await alice.goto(server!.url);
    await alice.reload();
    await alice.getByLabel('Search messages').fill('QUETZAL');
    const found = alice.getByRole('region', { name: 'Messages found' }).getByRole('link');
    await found.waitFor();
    expect(await found.locator('mark').textContent()).toMatch(/^quetzal/);
    await found.click();
    await alice.locator('.message.found').waitFor();
    await until('it is in sight', () =>
      alice.locator('.message.found').evaluate((row) => {
        const { top, bottom } = row.getBoundingClientRect();
        const box = document.getElementById('messages')!.getBoundingClientRect();
        return top >= box.top && bottom <= box.bottom;
      }));
    await shot(alice, 'search');
    await alice.getByRole('button', { name: 'Jump to the latest message' }).click();
    await until('the latest is in sight', () =>
      bubble(alice, 'filler 119.').evaluate((row) => row.getBoundingClientRect().bottom <= innerHeight));
    await alice.getByRole('button', { name: 'Jump to the latest message' }).waitFor({ state: 'detached' });
    await alice.getByLabel('Search messages').fill('nobody wrote this');
    await alice.getByText('No message found.').waitFor();
  });

  it('shows who is in a group and lets its owner rename, add, promote and remove; mute, pin, archive, leave', async () => {
    const alice = await signIn(await openWindow(), 'alice');
    const bob = await signIn(await openWindow(), 'bob');
    await alice.getByRole('button', { name: 'New chat' }).click();
    for (const name of ['Bob', 'Charlie']) {
      await alice.getByLabel('Find people by name').fill(name);
      await alice.getByRole('checkbox', { name }).check();
    }
    await alice.getByLabel('Name of the group').fill('Book club');
    await alice.getByRole('button', { name: 'Start' }).click();
    await alice.getByText('3 members').waitFor();
    await bob.getByRole('link', { name: /Book club/ }).click();

    await alice.getByRole('button', { name: 'Details' }).click();
    const info = alice.getByRole('complementary', { name: 'Details' });
    await info.getByLabel('Role of Bob').selectOption('admin');
    await bob.getByRole('button', { name: 'Details' }).click();
    const bobs = bob.getByRole('complementary', { name: 'Details' });
    await bobs.getByLabel('Add people').waitFor();
    await info.getByRole('button', { name: 'Remove Charlie' }).click();
    await alice.getByText('2 members').first().waitFor();
    await info.getByLabel('Add people').fill('Charlie');
    await info.getByRole('button', { name: 'Add Charlie' }).click();
    await alice.getByText('3 members').first().waitFor();
    await info.getByRole('button', { name: 'Rename' }).click();
    await info.getByLabel('Name of the group').fill('Reading circle');
    await info.getByRole('button', { name: 'Rename' }).click();
    await bob.getByRole('link', { name: /Reading circle/ }).waitFor();
    await shot(alice, 'info');

    await info.getByRole('button', { name: 'Mute', exact: true }).click();
    const row = alice.getByRole('navigation', { name: 'Chats' }).getByRole('link', { name: /Reading circle/ });
    await row.getByLabel('Muted').waitFor();
    await info.getByRole('button', { name: 'Unmute' }).click();
    await row.getByLabel('Muted').waitFor({ state: 'detached' });
    await info.getByRole('button', { name: 'Mute for 8 hours' }).click();
    await info.getByText('Muted until').waitFor();
    await info.getByRole('button', { name: 'Pin' }).click();
    await row.getByLabel('Pinned').waitFor();
    await info.getByRole('button', { name: 'Archive' }).click();
    await row.waitFor({ state: 'hidden' });
    await alice.goto(`${server!.url}/`);
    await alice.reload();
    await alice.getByText('Archived', { exact: true }).click();
    await row.click();
    await alice.getByRole('button', { name: 'Details' }).click();
    await info.getByRole('button', { name: 'Take out of the archive' }).click();

    await bobs.getByRole('button', { name: 'Leave the group' }).click();
    await bobs.getByText('You will get no more messages').waitFor();
    await bobs.getByRole('button', { name: 'Leave the group' }).click();
    await bob.getByText('Choose a conversation').waitFor();
    await alice.getByText('2 members').first().waitFor();
  });

  it('blocks a person and reports a message', async () => {
    const alice = await signIn(await openWindow(), 'alice');
    const charlie = await signIn(await openWindow(), 'charlie');
    await openChatWith(charlie, 'Alice');
    await openChatWith(alice, 'Charlie');
    await write(charlie, 'something rude');
    await act(alice, 'something rude', 'Report');
    const report = alice.getByRole('dialog', { name: 'Report' });
    await report.getByLabel('What is wrong').fill('It is rude.');
    await report.getByRole('button', { name: 'Report' }).click();
    await report.getByText('Thank you.').waitFor();
    await shot(alice, 'report');
    await report.getByRole('button', { name: 'Close' }).click();
    await alice.getByRole('button', { name: 'Details' }).click();
    await alice.getByRole('button', { name: 'Block', exact: true }).click();
    await alice.getByRole('button', { name: 'Unblock' }).waitFor();
    await write(charlie, 'are you there?');
    await bubble(charlie, 'are you there?').getByText('Not sent').waitFor();
    await alice.getByRole('button', { name: 'Unblock' }).click();
    await alice.getByRole('button', { name: 'Block', exact: true }).waitFor();
    await bubble(charlie, 'are you there?').getByRole('button', { name: 'Try again' }).click();
    await bubble(alice, 'are you there?').waitFor();
  });

  it('changes profile, privacy, password and address, hands out a copy, and closes the account', async () => {
    const hal = await openWindow();
    const name = freeName('hal');
    await registered(hal, name);
    await hal.getByRole('link', { name: 'Settings' }).click();
    const page = (name: string) => hal.getByRole('navigation', { name: 'Settings' }).getByRole('link', { name, exact: true }).click();
    const part = (name: string) => hal.getByRole('region', { name });
    await part('Profile').getByLabel('First name').fill('Hélène');
    await part('Profile').getByLabel('Time zone').fill('Nowhere/Land');
    await part('Profile').getByRole('button', { name: 'Save' }).click();
    // The fault stands at its field, which has the focus.
    const zone = part('Profile').getByLabel('Time zone');
    await until('the field says so', async () => (await zone.getAttribute('aria-invalid')) === 'true');
    await until('the focus is there', () => zone.evaluate((element) => element === document.activeElement));
    await part('Profile').getByLabel('Time zone').fill('Europe/Paris');
    await part('Profile').getByRole('button', { name: 'Save' }).click();
    await part('Profile').getByText('Saved').waitFor();
    await shot(hal, 'settings');
    await hal.reload();
    await until('the name was kept', async () => (await part('Profile').getByLabel('First name').inputValue()) === 'Hélène');
    await page('Notifications');
    await part('Notifications').getByLabel('By e-mail').click();
    await page('Privacy');
    await part('Privacy').getByLabel('Let others see what I have read').uncheck();
    await part('Privacy').getByLabel('Quiet hours').check();
    await part('Privacy').getByLabel('From').fill('23:30');
    await until('the server knows it', async () => {
      const token = await hal.evaluate(() => localStorage.getItem('access_token'));
      const answer = await fetch(`${server!.url}/api/chat/settings/`, { headers: { Authorization: `Bearer ${token}` } });
      return ((await answer.json()) as { quiet_hours: { from: string } | null }).quiet_hours?.from === '23:30';
    });
    await hal.reload();
    await until('privacy was kept', async () => (await part('Privacy').getByLabel('From').inputValue()) === '23:30');
    expect(await part('Privacy').getByLabel('Let others see what I have read').isChecked()).toBe(false);

    await page('Profile');
    const password = part('Change the password');
    const type = async (old: string) => {
      await password.getByLabel('Current password').fill(old);
      await password.getByLabel('New password').fill('a-second-long-secret');
      await password.getByLabel('Password, again').fill('a-second-long-secret');
      await password.getByRole('button').click();
    };
    await type('not-the-password');
    await until('the old one is wrong', async () => (await password.getByLabel('Current password').getAttribute('aria-invalid')) === 'true');
    await type('a-long-first-secret');
    await password.getByText('Your password is changed').waitFor();

    const address = part('Change the e-mail address');
    await address.getByLabel('New address').fill(`${name}.new@example.com`);
    await address.getByLabel('Password').fill('a-second-long-secret');
    await address.getByRole('button').click();
    await address.getByRole('status').filter({ hasText: /./ }).waitFor();
    await until('the link is mailed', () => server!.mailsTo(`${name}.new@example.com`).length > 0);

    await page('Your data');
    const download = hal.waitForEvent('download');
    await part('Your data').getByRole('button', { name: 'Download' }).click();
    expect((await download).suggestedFilename()).toBe('alviar.json');

    const closing = part('Close the account');
    await closing.getByRole('button').click();
    await closing.getByLabel('Password').fill('wrong');
    await closing.getByRole('button', { name: 'Close it for good' }).click();
    await until('the password is wrong', async () => (await closing.getByLabel('Password').getAttribute('aria-invalid')) === 'true');
    await closing.getByLabel('Password').fill('a-second-long-secret');
    await closing.getByRole('button', { name: 'Close it for good' }).click();
    await hal.getByRole('button', { name: 'Sign in', exact: true }).waitFor();
  });

  it('keeps what was begun in each conversation, and tells of messages while nobody looks', async () => {
    const alice = await signIn(await openWindow(), 'alice');
    const bob = await signIn(await openWindow(), 'bob');
    await openChatWith(alice, 'Charlie');
    await openChatWith(alice, 'Bob');
    await openChatWith(bob, 'Alice');
    await write(alice, 'to be edited');
    await bubble(alice, 'to be edited').getByLabel(/Sent|Seen/).waitFor();
    const field = alice.getByRole('textbox', { name: 'Message' });
    await field.fill('half a sente');
    await alice.getByRole('link', { name: /Charlie/ }).click();
    await until('the other field is empty', async () => (await field.inputValue()) === '');
    await alice.getByRole('link', { name: /Bob.*Draft: half a sente/ }).waitFor();
    await alice.getByRole('link', { name: /Bob/ }).click();
    await until('it is still there', async () => (await field.inputValue()) === 'half a sente');
    await act(alice, 'to be edited', 'Edit');
    await until('the old text is there', async () => (await field.inputValue()) === 'to be edited');
    await alice.keyboard.press('Escape');
    expect(await field.inputValue()).toBe('half a sente');
    // Emptied and left within one frame.
    await field.evaluate((element: HTMLTextAreaElement) => {
      Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value')!.set!.call(element, '');
      element.dispatchEvent(new Event('input', { bubbles: true }));
      location.hash = '#/settings/notifications';
    });
    await alice.getByRole('link', { name: 'Chats' }).click();
    await until('no draft is shown', async () => (await alice.getByRole('link', { name: /Draft/ }).count()) === 0);

    await alice.evaluate(() => {
      const shown: string[] = [];
      const fake = Object.assign(
        class {
          constructor(title: string, { body }: { body: string }) {
            shown.push(`${title}: ${body}`);
          }
          close() {}
        },
        { permission: 'granted', requestPermission: async () => 'granted' },
      );
      Object.assign(window, { Notification: fake, shown });
    });
    await goTo(alice, 'settings/notifications');
    await alice.getByLabel('In this browser').check();
    await write(bob, 'seen anyway');
    await alice.getByRole('link', { name: 'Chats' }).click();
    await alice.getByRole('link', { name: /Bob.*seen anyway/ }).waitFor();
    await alice.evaluate(() => Object.defineProperty(document, 'hidden', { value: true }));
    await write(bob, 'are you away?');
    const shown = () => alice.evaluate(() => (window as unknown as { shown: string[] }).shown);
    await until('it is told', async () => (await shown()).length > 0);
    expect(await shown()).toEqual(['Bob: are you away?']);
  });

  it('turns an authenticator app on, asks for its code, and asks again who one is before it is turned off', async () => {
    const fay = await openWindow();
    const name = freeName('fay');
    await registered(fay, name);
    await goTo(fay, 'settings/security');
    const app = fay.getByRole('region', { name: 'Authenticator app' });
    await app.getByRole('button', { name: 'Set up' }).click();
    await app.getByAltText('QR code for the app').waitFor();
    expect(await app.locator('img').evaluate((image: HTMLImageElement) => image.decode().then(() => image.naturalWidth))).toBeGreaterThan(50);
    await shot(fay, 'totp');
    const secret = (await app.locator('code').textContent())!;
    await app.getByLabel('Code').fill('000000');
    await app.getByRole('button', { name: 'Confirm' }).click();
    await app.getByRole('alert').filter({ hasText: /./ }).waitFor();
    await app.getByLabel('Code').fill(totp(secret, -1));
    await app.getByRole('button', { name: 'Confirm' }).click();
    const codes = fay.getByRole('region', { name: 'Recovery codes' });
    await codes.waitFor();
    const recovery = await codes.locator('code').allTextContents();
    expect(recovery.length).toBe(10);
    await shot(fay, 'recovery-codes');
    await codes.getByRole('button', { name: 'I have kept them' }).click();
    await signOut(fay);

    await fay.getByLabel('Username or e-mail').fill(name);
    await fay.getByLabel('Password').fill('a-long-first-secret');
    await fay.getByRole('button', { name: 'Sign in', exact: true }).click();
    await fay.getByLabel('Code').fill('123');
    await shot(fay, 'second-step');
    await fay.getByRole('button', { name: 'Continue' }).click();
    await fay.locator('[aria-invalid="true"], [role="alert"]:not([hidden])').first().waitFor();
    await fay.getByLabel('Code').fill(totp(secret));
    await fay.getByRole('button', { name: 'Continue' }).click();
    await fay.getByText('Connected').first().waitFor();

    // As the server answers fifteen minutes later.
    await fay.route('**/api/auth/factors/totp/', (route) =>
      route.fulfill({
        status: 403,
        json: { detail: 'Who are you?', code: 'reauthentication_required', action: 'reauthenticate', methods: ['totp', 'recovery_code'] },
      }), { times: 1 });
    await app.getByRole('button', { name: 'Turn off' }).click();
    const proof = fay.getByRole('dialog', { name: 'Is it you?' });
    await proof.getByLabel('Code').fill('nonsense');
    await proof.getByRole('button', { name: 'Continue' }).click();
    await proof.getByRole('alert').filter({ hasText: /./ }).waitFor();
    await shot(fay, 'proof');
    await proof.getByLabel('Code').fill(recovery[0]!);
    await proof.getByRole('button', { name: 'Continue' }).click();
    await app.getByRole('button', { name: 'Set up' }).waitFor();
    expect(await proof.count()).toBe(0);
  });

  it('adds a passkey, renames it, signs in with it and removes it', async () => {
    const gus = await openWindow({}, server!.url.replace('127.0.0.1', 'localhost'));
    const devtools = await gus.context().newCDPSession(gus);
    await devtools.send('WebAuthn.enable');
    await devtools.send('WebAuthn.addVirtualAuthenticator', {
      options: {
        protocol: 'ctap2',
        transport: 'internal',
        hasResidentKey: true,
        hasUserVerification: true,
        isUserVerified: true,
        automaticPresenceSimulation: true,
      },
    });
    await registered(gus, freeName('gus'));
    await goTo(gus, 'settings/security');
    const keys = gus.getByRole('region', { name: 'Passkeys' });
    await keys.getByRole('button', { name: 'Add a passkey' }).click();
    await keys.getByRole('button', { name: 'Rename' }).click();
    await keys.getByLabel('Name').fill('My laptop');
    await keys.getByRole('button', { name: 'Save' }).click();
    await keys.getByText('My laptop').waitFor();
    await shot(gus, 'passkeys');
    await signOut(gus);
    await gus.getByRole('button', { name: 'Use a passkey' }).click();
    await gus.getByText('Connected').first().waitFor();
    await accountOf(gus, 'gus');
    await goTo(gus, 'settings/security');
    await keys.getByRole('button', { name: 'Remove' }).click();
    await keys.getByText('My laptop').waitFor({ state: 'detached' });
  });

  it('speaks Arabic from right to left, and fits a phone', async () => {
    const alice = await signIn(await openWindow(), 'alice');
    await openChatWith(alice, 'Bob');
    await write(alice, 'مرحبا بوب، كيف حالك؟');
    await bubble(alice, 'مرحبا').waitFor();
    await openAccount(alice);
    await alice.getByLabel('Language').selectOption('ar');
    await until('the page is turned', () => alice.evaluate(() => document.documentElement.dir === 'rtl'));
    const [mine, log] = await Promise.all([
      bubble(alice, 'مرحبا').locator('.bubble').boundingBox(),
      alice.getByRole('log').boundingBox(),
    ]);
    await alice.keyboard.press('Escape');
    expect(mine!.x - log!.x).toBeLessThan(log!.width / 2);
    const list = await alice.locator('.list').boundingBox();
    expect(list!.x).toBeGreaterThan(log!.x);
    await shot(alice, 'arabic');
    await alice.setViewportSize(PHONE);
    expect(await overflow(alice)).toBeLessThanOrEqual(0);
    await shot(alice, 'arabic-phone-chat');
    await alice.locator('.back').click();
    await alice.locator('.list').waitFor();
    expect(await overflow(alice)).toBeLessThanOrEqual(0);
    await shot(alice, 'arabic-phone-list');
    for (const section of ['profile', 'notifications', 'devices', 'security']) {
      await goTo(alice, `settings/${section}`);
      await alice.locator('.sheet .cards li, .sheet .block').first().waitFor();
      expect(await overflow(alice)).toBeLessThanOrEqual(0);
    }
    await shot(alice, 'arabic-phone-security');
    await alice.reload();
    await until('the language was kept', () => alice.evaluate(() => document.documentElement.lang === 'ar'));
  });

  it('can be used by keyboard alone, and everything has a name', async () => {
    const alice = await signIn(await openWindow(), 'alice');
    await openChatWith(alice, 'Bob');
    await write(alice, 'typed by hand');
    // Its row is made anew when it is acknowledged, and a focus on it would be lost.
    await bubble(alice, 'typed by hand').getByLabel(/Sent|Seen/).waitFor();
    const field = alice.getByRole('textbox', { name: 'Message' });
    const hasFocus = (what: ReturnType<Page['locator']>) => what.evaluate((element) => element === document.activeElement);
    await alice.getByRole('log').focus();
    await alice.keyboard.press('ArrowUp');
    await until('the newest message has the focus', () => hasFocus(bubble(alice, 'typed by hand')));
    await alice.keyboard.press('Enter');
    const menu = alice.getByRole('menu', { name: 'Actions' });
    await until('the menu has the focus', () => hasFocus(menu.getByRole('menuitemcheckbox', { name: 'React with 👍' })));
    await alice.keyboard.press('ArrowDown');
    await until('the arrow goes on', () => hasFocus(menu.getByRole('menuitem', { name: 'Reply' })));
    await alice.keyboard.press('Home');
    await alice.keyboard.press('Enter');
    await bubble(alice, 'typed by hand').getByRole('button', { name: '👍 1' }).waitFor();
    await until('the focus is back', () => hasFocus(bubble(alice, 'typed by hand')));
    await alice.keyboard.press('r');
    await alice.getByText('Replying to').waitFor();
    await until('one may write', () => hasFocus(field));
    await alice.keyboard.type('answered by hand');
    await alice.keyboard.press('Enter');
    await bubble(alice, 'answered by hand').locator('blockquote').waitFor();
    await alice.keyboard.press('Control+k');
    await until('the search has the focus', () => hasFocus(alice.getByLabel('Search messages')));
    await alice.keyboard.press('Alt+n');
    await alice.getByRole('dialog', { name: 'New chat' }).waitFor();
    await alice.keyboard.press('Escape');
    await alice.getByRole('log').focus();
    await alice.keyboard.press('?');
    await alice.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor();
    await alice.keyboard.press('Escape');
    for (const section of ['chat', 'settings/devices', 'settings/security', 'settings/profile', 'settings/notifications']) {
      if (section !== 'chat') await goTo(alice, section);
      const nameless = await alice.evaluate(() =>
        [...document.querySelectorAll<HTMLElement>('button, a[href], input, select, textarea, summary')]
          .filter((element) => element.checkVisibility())
          .filter((element) => {
            const labels = 'labels' in element ? [...(element.labels as NodeListOf<HTMLElement>)] : [];
            const name = [element.getAttribute('aria-label'), element.textContent, ...labels.map((l) => l.textContent)];
            return !name.some((text) => text?.trim());
          })
          .map((element) => element.outerHTML),
      );
      expect(nameless).toEqual([]);
    }
    expect(await alice.evaluate(() => document.querySelectorAll('main').length)).toBe(1);
  });

  it('is there where the browser keeps nothing: storage that is denied, or full', async () => {
    const denied = () => {
      const refuse = () => {
        throw new DOMException('denied', 'SecurityError');
      };
      for (const name of ['localStorage', 'sessionStorage', 'indexedDB']) Object.defineProperty(window, name, { get: refuse });
      Object.assign(window, { BroadcastChannel: class { constructor() { refuse(); } } });
      LockManager.prototype.request = async () => refuse();
    };
    const full = () => {
      Storage.prototype.setItem = () => {
        throw new DOMException('full', 'QuotaExceededError');
      };
    };
    for (const without of [denied, full]) {
      const context = await browser.newContext({ viewport: DESKTOP, locale: 'en-GB' });
      contexts.push(context);
      await context.addInitScript(without);
      await signIn(await openTab(context), 'alice');
    }
  });

  it('keeps two tabs of one browser signed in together', async () => {
    const first = await signIn(await openWindow(), 'charlie');
    const second = await openTab(first.context());
    await second.getByText('Connected').first().waitFor();
    for (let round = 0; round < 3; round++) {
      await Promise.all(
        [first, second].map(async (tab) => {
          await goTo(tab, 'settings/connection');
          await tab.getByRole('button', { name: 'Refresh now' }).click();
          await until('the refresh is through', async () => (await tab.getByRole('button', { name: 'Refresh now' }).getAttribute('aria-disabled')) === 'false');
        }),
      );
    }
    for (const tab of [first, second]) expect(await tab.getByText('Connected').count()).toBeGreaterThan(0);
    await signOut(first);
    await second.getByRole('button', { name: 'Sign in', exact: true }).waitFor();
  });
});
