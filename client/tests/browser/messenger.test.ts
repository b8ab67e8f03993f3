/** What a messenger has beside messages: a long history, voice, forwarding, pushes, sign-in by a mailed code. */
import { existsSync } from 'node:fs';

import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { send, signedIn } from '../support/scene';
import { beginAgainClean } from '../support/attempts';
import { mailedCode, startServer, until } from '../support/server';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const FLAGS = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'];
const hasBrowser = existsSync(CHROMIUM);
if (!hasBrowser && (process.env.CI || process.env.REQUIRE_SERVER)) throw new Error(`there is no ${CHROMIUM}`);
const server = hasBrowser ? await startServer() : null;
beginAgainClean(server);

let browser: Browser;
const contexts: BrowserContext[] = [];
const problems: string[] = [];

beforeAll(async () => {
  if (server) browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
});
afterEach(async () => {
  for (const context of contexts.splice(0)) await context.close();
  expect(problems.splice(0)).toEqual([]);
});
afterAll(async () => {
  await browser?.close();
  await server?.remove();
});

async function openWindow(): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1180, height: 780 }, locale: 'en-GB' });
  contexts.push(context);
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('console', (message) => /Content.Security.Policy|Refused to/i.test(message.text()) && problems.push(message.text()));
  await page.goto(server!.url);
  return page;
}

async function signIn(page: Page, name: string): Promise<Page> {
  await page.getByRole('button', { name, exact: true }).click();
  await page.getByRole('status').getByText('Connected').first().waitFor();
  return page;
}

async function conversationOf(one: { token: string }, other: { id: number }): Promise<string> {
  const response = await fetch(`${server!.url}/api/chat/conversations/`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${one.token}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({ kind: 'direct', user_id: other.id }),
  });
  return ((await response.json()) as { uuid: string }).uuid;
}

const signOut = async (page: Page) => {
  await page.locator('.account').click();
  await page.getByRole('button', { name: 'Sign out' }).click();
};
const goTo = (page: Page, place: string) => page.evaluate((hash) => void (location.hash = hash), `#/${place}`);
const bubble = (page: Page, text: string) => page.locator('.message').filter({ hasText: text }).last();
const act = async (page: Page, text: string, action: string) => {
  await bubble(page, text).locator('.bubble').click({ button: 'right' });
  await page.getByRole('menu', { name: 'Actions' }).getByRole('menuitem', { name: action }).click();
};

describe.skipIf(!server)('a messenger', () => {
  it('shows fifty thousand messages with a few rows, and keeps the place', async () => {
    const [alice, bob] = [await signedIn(server!.url, 'alice'), await signedIn(server!.url, 'bob')];
    const talk = await conversationOf(alice, bob);
    await send(server!.url, bob.token, talk, 'the real one');
    const page = await openWindow();
    const TOTAL = 50_000;
    const PAGE = 5_000;
    const read: string[] = [];
    // The server's own pages are of fifty: a thousand of them would prove the same, later.
    await page.route(`**/api/chat/conversations/${talk}/messages/**`, async (route) => {
      const asked = new URL(route.request().url()).searchParams;
      read.push(asked.toString());
      const after = asked.get('after_seq');
      const before = after ? Math.min(TOTAL + 1, Number(after) + 1 + PAGE) : Number(asked.get('before_seq') ?? TOTAL + 1);
      const first = after ? Number(after) + 1 : Math.max(1, before - PAGE);
      const results = Array.from({ length: before - first }, (_, index) => {
        const seq = first + index;
        return {
          uuid: `00000000-0000-4000-8000-${String(seq).padStart(12, '0')}`,
          conversation_uuid: talk,
          seq,
          sender: { id: bob.id, username: 'bob', first_name: 'Bob', last_name: '' },
          // Of many heights, so that guesses are wrong.
          content: `row ${seq}. ${'word '.repeat((seq * 7) % 60)}`,
          client_msg_id: null,
          reply_to: null,
          attachments: [],
          reactions: [],
          mentions: [],
          created_at: new Date(Date.UTC(2026, 0, 1) + seq * 60_000).toISOString(),
          edited_at: null,
          deleted_at: null,
        };
      });
      await route.fulfill({ json: { results, has_more: after ? before <= TOTAL : first > 1 } });
    });
    await signIn(page, 'alice');
    await goTo(page, `chat/${talk}`);
    const rows = page.locator('#messages li[data-index]');
    await bubble(page, `row ${TOTAL}.`).waitFor();
    expect(await rows.count()).toBeLessThan(80);

    // A jump far back reads what is around, and nothing between; from there one reads on in both directions.
    read.length = 0;
    await goTo(page, `chat/${talk}/20000`);
    await page.locator('.message.found').getByText('row 20000.').waitFor({ timeout: 60_000 });
    expect(read.filter((query) => query.includes('before_seq') || query.includes('after_seq')).length).toBeLessThan(4);
    expect(await rows.count()).toBeLessThan(80);
    await page.getByRole('button', { name: 'Jump to the latest message' }).click();
    await bubble(page, `row ${TOTAL}.`).waitFor();

    // All of it, read back from the newest.
    const top = page.getByRole('log');
    await until('the beginning has been read', async () => {
      await top.evaluate((element) => (element.scrollTop = 0));
      return (await page.locator('#messages').getByText('row 1.', { exact: false }).count()) > 0 && (await page.getByText('This is the beginning').count()) > 0;
    });
    expect(await rows.count()).toBeLessThan(80);
    const size = await page.evaluate(() => document.getElementById('messages')!.scrollHeight);
    expect(size).toBeGreaterThan(TOTAL * 30);

    // To the middle by the scroll bar, then a page's height at a time: what is in view is there, and in order.
    const log = page.getByRole('log');
    await log.evaluate((element) => (element.scrollTop = element.scrollHeight / 2));
    const inView = () =>
      log.evaluate((element) => {
        const box = element.getBoundingClientRect();
        return [...element.querySelectorAll<HTMLElement>('li[data-seq]')]
          .filter((row) => row.getBoundingClientRect().bottom > box.top + 1 && row.getBoundingClientRect().top < box.bottom - 1)
          .map((row) => ({ seq: Number(row.dataset.seq), top: Math.round(row.getBoundingClientRect().top) }));
      });
    await until('the middle is there', async () => {
      const seen = await inView();
      return seen.length > 2 && seen[0]!.seq > TOTAL / 4 && seen[0]!.seq < (TOTAL * 3) / 4;
    });
    for (let step = 0; step < 5; step++) {
      const before = await inView();
      await log.hover();
      await page.mouse.wheel(0, -400);
      await until('it has moved', async () => (await inView())[0]?.seq !== before[0]!.seq);
      const seen = await inView();
      expect(seen.map(({ seq }) => seq)).toEqual(seen.map((_, index) => seen[0]!.seq + index));
      expect(await rows.count()).toBeLessThan(80);
    }
    // A message that is put in far above (the real server counts it as its second) moves nothing here.
    await page.waitForTimeout(200);
    const still = await inView();
    await send(server!.url, bob.token, talk, 'comes in elsewhere');
    await page.getByRole('link', { name: /comes in elsewhere/ }).waitFor();
    const now = await inView();
    expect(now.map(({ seq }) => seq)).toEqual(still.map(({ seq }) => seq));
    expect(Math.abs(now[0]!.top - still[0]!.top)).toBeLessThan(3);
    await page.getByRole('button', { name: 'Jump to the latest message' }).click();
    await bubble(page, `row ${TOTAL}.`).waitFor();
    expect(await rows.count()).toBeLessThan(80);
  });

  it('records a voice message, which the other hears; and throws one away', async () => {
    const [alice, bob] = [await signedIn(server!.url, 'alice'), await signedIn(server!.url, 'bob')];
    const talk = await conversationOf(alice, bob);
    const [from, to] = [await signIn(await openWindow(), 'alice'), await signIn(await openWindow(), 'bob')];
    await goTo(from, `chat/${talk}`);
    await goTo(to, `chat/${talk}`);
    await from.getByRole('button', { name: 'Record a voice message' }).click();
    await from.getByRole('timer').getByText('0:01').waitFor();
    await from.getByRole('button', { name: 'Discard the recording' }).click();
    const field = from.getByRole('textbox', { name: 'Message' });
    await until('the focus is in the field', () => field.evaluate((element) => element === document.activeElement));
    await from.getByRole('button', { name: 'Record a voice message' }).click();
    await from.getByRole('timer').getByText('0:02').waitFor();
    await until('its levels are drawn', async () => (await from.locator('.levels rect').count()) > 5);
    await from.getByRole('button', { name: 'Send the recording' }).click();
    const sound = to.locator('.message .sound').last();
    await sound.waitFor();
    await until('its waveform is drawn', async () => (await sound.locator('.waveform rect').count()) === 64);
    await sound.getByRole('button', { name: /^Play: voice-/ }).click();
    await sound.getByRole('button', { name: /^Pause: voice-/ }).waitFor();
    expect(await to.locator('.message .sound').count()).toBe(1);
  });

  it('forwards a message with its file, and finds an emoji by its name', async () => {
    const people = await Promise.all(['alice', 'bob', 'charlie'].map((name) => signedIn(server!.url, name)));
    const [withBob, withCharlie] = [await conversationOf(people[0]!, people[1]!), await conversationOf(people[0]!, people[2]!)];
    const alice = await signIn(await openWindow(), 'alice');
    await goTo(alice, `chat/${withBob}`);
    await alice.locator('.composer input[type=file]').setInputFiles({ name: 'plan.txt', mimeType: 'text/plain', buffer: Buffer.from('Here.') });
    await alice.getByRole('img', { name: 'Ready' }).waitFor();
    await alice.getByRole('textbox', { name: 'Message' }).fill('The plan');
    await alice.getByRole('button', { name: 'Emoji' }).click();
    await alice.getByLabel('Find an emoji').fill('fusée');
    await alice.keyboard.press('Enter');
    expect(await alice.getByRole('textbox', { name: 'Message' }).inputValue()).toBe('The plan🚀');
    await alice.keyboard.press('Enter');
    await bubble(alice, 'The plan🚀').getByLabel(/Sent|Seen/).waitFor();
    await act(alice, 'The plan🚀', 'Forward');
    await alice.getByRole('dialog', { name: 'Forward to' }).getByRole('button', { name: /Charlie/ }).click();
    await until('it stands in the other chat', () => alice.url().endsWith(withCharlie));
    await bubble(alice, 'The plan🚀').getByLabel(/Sent|Seen/).waitFor();
    await bubble(alice, 'The plan🚀').getByText('plan.txt').waitFor();
  });

  it('shows a push while the page is closed, clears what was read elsewhere, and opens the conversation', async () => {
    const [alice, bob] = [await signedIn(server!.url, 'alice'), await signedIn(server!.url, 'bob')];
    const talk = await conversationOf(alice, bob);
    const page = await openWindow();
    await page.context().grantPermissions(['notifications'], { origin: server!.url });
    // The push service of the browser's maker is far away; what it hands out is not.
    await page.addInitScript(() => {
      PushManager.prototype.subscribe = async () =>
        ({
          endpoint: 'https://push.example/abc',
          options: { applicationServerKey: null },
          unsubscribe: async () => true,
          toJSON: () => ({
            endpoint: 'https://push.example/abc',
            keys: { p256dh: 'BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM', auth: 'tBHItJI5svbpez7KI4CCXg' },
          }),
        }) as unknown as PushSubscription;
    });
    await page.goto(server!.url);
    await signIn(page, 'alice');
    await goTo(page, 'settings/notifications');
    const registered = page.waitForRequest((request) => request.method() === 'PUT' && request.url().endsWith('/push/'));
    await page.getByLabel('In this browser').check();
    await page.getByLabel('Also when this page is closed').check();
    expect((await registered).postDataJSON()).toMatchObject({ provider: 'webpush', show: 'full', subscription: { endpoint: 'https://push.example/abc' } });

    const devtools = await page.context().newCDPSession(page);
    const found = new Promise<string>((done) => {
      devtools.on('ServiceWorker.workerRegistrationUpdated', ({ registrations }) => {
        if (registrations[0]) done(registrations[0].registrationId);
      });
    });
    await devtools.send('ServiceWorker.enable');
    const registrationId = await found;
    const shown = () =>
      page.evaluate(async () => {
        const worker = await navigator.serviceWorker.ready;
        return (await worker.getNotifications()).map(({ title, body, tag }) => ({ title, body, tag }));
      });
    await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));
    const push = (data: object) =>
      devtools.send('ServiceWorker.deliverPushMessage', { origin: server!.url, registrationId, data: JSON.stringify(data) });
    await push({ conversation_uuid: talk, seq: 4, badge: 1, title: 'Bob', body: 'Are you there?' });
    await until('it is shown', async () => (await shown()).length === 1);
    expect(await shown()).toEqual([{ title: 'Bob', body: 'Are you there?', tag: talk }]);
    await push({ conversation_uuid: talk, seq: 5, badge: 2 });
    await until('the later one takes its place', async () => (await shown())[0]?.body === 'New message');
    await push({ conversation_uuid: talk, seq: 4, badge: 1, seen: true });
    await push({ notice: 'new_device', title: 'A new device', body: 'Was it you?' });
    await until('both', async () => (await shown()).length === 2);
    await push({ conversation_uuid: talk, seq: 5, badge: 0, seen: true });
    await until('what was read is gone', async () => (await shown()).map(({ tag }) => tag).join() === 'new_device');
    // As the worker says it after a click.
    await page.evaluate((place) => navigator.serviceWorker.dispatchEvent(new MessageEvent('message', { data: { open: place } })), `#/chat/${talk}`);
    await page.getByRole('log').waitFor();

    // The next person in this browser has wished for nothing, and sees nothing of the one before.
    await push({ conversation_uuid: talk, seq: 6, badge: 1, title: 'Bob', body: 'For alice' });
    await until('both again', async () => (await shown()).length === 2);
    await signOut(page);
    await until('the screen is empty', async () => (await shown()).length === 0);
    await signIn(page, 'bob');
    await goTo(page, 'settings/notifications');
    expect(await page.getByLabel('In this browser').isChecked()).toBe(false);
    await signOut(page);
    const anew = page.waitForRequest((request) => request.method() === 'PUT' && request.url().endsWith('/push/'));
    await signIn(page, 'alice');
    await anew;

    await goTo(page, 'settings/notifications');
    const forgotten = page.waitForRequest((request) => request.method() === 'DELETE' && request.url().endsWith('/push/'));
    await page.getByLabel('Also when this page is closed').uncheck();
    await forgotten;
  });

  it('lets an owner slow a group down, and shows its members how long they wait', async () => {
    const [alice, bob] = [await signedIn(server!.url, 'alice'), await signedIn(server!.url, 'bob')];
    const created = await fetch(`${server!.url}/api/chat/conversations/`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${alice.token}`, 'Content-Type': 'application/json' },
      body: JSON.stringify({ kind: 'group', title: 'A hot topic', user_ids: [bob.id] }),
    });
    const { uuid } = (await created.json()) as { uuid: string };
    const [owner, member] = [await signIn(await openWindow(), 'alice'), await signIn(await openWindow(), 'bob')];
    for (const page of [owner, member]) await goTo(page, `chat/${uuid}`);
    await owner.locator('.conversation-head button').click();
    await owner.getByLabel('Slow mode').selectOption('300');
    await member.getByText('Slow mode: one message every 5 minutes.').waitFor();
    await member.locator('.composer textarea').fill('first');
    await member.locator('.composer textarea').press('Enter');
    await bubble(member, 'first').waitFor();
    await member.locator('.slow-mode').getByText(/\((5:00|4:\d\d)\)/).waitFor();
    // The text typed meanwhile stays in the composer.
    await member.locator('.composer textarea').fill('second');
    await member.locator('.composer textarea').press('Enter');
    expect(await member.locator('.composer textarea').inputValue()).toBe('second');
    expect(await member.locator('.composer button[type=submit]').isDisabled()).toBe(true);
    for (const text of ['as often', 'as I like']) {
      await owner.locator('.composer textarea').fill(text);
      await owner.locator('.composer textarea').press('Enter');
      await bubble(member, text).waitFor();
    }
    expect(await owner.locator('.slow-mode').count()).toBe(0);
    await owner.getByLabel('Slow mode').selectOption('0');
    await member.locator('.slow-mode').waitFor({ state: 'detached' });
    await member.locator('.composer textarea').press('Enter');
    await bubble(owner, 'second').waitFor();
  });

  it('signs in with a mailed code, and says how long a locked account has to wait', async () => {
    const page = await openWindow();
    await page.getByRole('button', { name: 'Sign in with a mailed code' }).click();
    await page.getByLabel('E-mail').fill('bob@example.com');
    await page.getByRole('button', { name: 'Send a code' }).click();
    await page.getByRole('textbox', { name: 'Code' }).waitFor();
    const code = await until('the mail', () => mailedCode(server!, 'bob@example.com'));
    await page.getByRole('textbox', { name: 'Code' }).fill(code);
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByRole('button', { name: 'Account: bob' }).waitFor();

    const stranger = await openWindow();
    for (let attempt = 0; attempt < 6; attempt++) {
      await stranger.getByLabel('Username or e-mail').fill('nobody.at.all');
      await stranger.getByLabel('Password').fill(`wrong ${attempt}`);
      const answered = stranger.waitForResponse((response) => response.url().includes('/auth/login/'));
      await stranger.getByRole('button', { name: 'Sign in', exact: true }).click();
      await answered;
      // A click while the form is busy does nothing.
      await stranger.locator('form[aria-busy=false]').waitFor();
    }
    await stranger.getByRole('alert').getByText(/Please try again at \d\d:\d\d\. \((30:00|29:\d\d)\)/).waitFor();
  });
});
