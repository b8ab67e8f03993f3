/**
 * Every screen in three languages, light and dark, on a phone and on a desk: a picture of each in test-artefacts/screens/,
 * and what axe-core has to say about it.
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { makeScene, type Scene } from '../support/scene';
import { beginAgainClean } from '../support/attempts';
import { startServer } from '../support/server';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const ARTEFACTS = join(process.env.CI_ARTEFACTS ?? join(import.meta.dirname, '../../../test-artefacts'), 'screens');
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const hasBrowser = existsSync(CHROMIUM);
if (!hasBrowser && (process.env.CI || process.env.REQUIRE_SERVER)) throw new Error(`there is no ${CHROMIUM}`);
const server = hasBrowser ? await startServer() : null;
beginAgainClean(server);

let browser: Browser;
let scene: Scene;

const PICTURES = [
  [900, 600, 'linear-gradient(#7ec8ff,#fff2c9 55%,#2a7f9e 56%,#0b4f6c)'],
  [600, 800, 'radial-gradient(circle at 50% 35%,#fff3b0,#ff9e5e 30%,#7a2e6b)'],
  [800, 500, 'linear-gradient(160deg,#cfe8c9,#4f8a5b 60%,#1d3b2a)'],
] as const;

beforeAll(async () => {
  if (!server) return;
  mkdirSync(ARTEFACTS, { recursive: true });
  browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'],
  });
  const pictures: Uint8Array[] = [];
  for (const [width, height, background] of PICTURES) {
    const page = await browser.newPage({ viewport: { width, height } });
    await page.setContent(`<body style="margin:0;height:100vh;background:${background}">`);
    pictures.push(await page.screenshot());
    await page.close();
  }
  scene = await makeScene(server.url, pictures);
});
afterAll(async () => {
  await browser?.close();
  await server?.remove();
});

interface Finding {
  id: string;
  impact: string | null;
  nodes: Array<{ html: string; failureSummary?: string }>;
}

/** What is of moderate or more weight. */
async function findings(page: Page): Promise<string[]> {
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(AXE);
  const violations = await page.evaluate(
    () => (window as unknown as { axe: { run: (options: object) => Promise<{ violations: Finding[] }> } }).axe.run({ resultTypes: ['violations'] }).then((found) => found.violations),
  );
  return violations
    .filter(({ impact }) => impact !== 'minor' && impact !== null)
    .flatMap(({ id, impact, nodes }) => nodes.map(({ html, failureSummary }) => `${id} (${impact}): ${html.slice(0, 160)} ${failureSummary?.split('\n')[1] ?? ''}`));
}

const SETTINGS = ['profile', 'appearance', 'notifications', 'privacy', 'devices', 'security', 'data', 'connection'];
const SIZES: Record<string, BrowserContextOptions> = {
  phone: { viewport: { width: 320, height: 640 }, hasTouch: true, isMobile: true },
  desk: { viewport: { width: 1280, height: 800 } },
};
const VARIANTS = ['en', 'fr', 'ar'].flatMap((language) =>
  (['light', 'dark'] as const).flatMap((theme) => Object.keys(SIZES).map((size) => ({ language, theme, size }))),
);

describe.skipIf(!server)('every screen', () => {
  it.each(VARIANTS)('in $language, $theme, on a $size', async ({ language, theme, size }) => {
    const context = await browser.newContext({ ...SIZES[size], locale: language, colorScheme: theme });
    const page = await context.newPage();
    page.setDefaultTimeout(60_000);
    const problems: string[] = [];
    page.on('pageerror', (error) => problems.push(String(error)));
    page.on('console', (message) => /Content.Security.Policy|Refused to/i.test(message.text()) && problems.push(message.text()));
    const look = async (name: string) => {
      // What is on its way from one look to another is neither.
      await page.waitForFunction(() => document.getAnimations().every((one) => one.effect?.getTiming().iterations === Infinity || one.playState === 'finished'));
      await page.screenshot({ path: join(ARTEFACTS, `${name}-${language}-${theme}-${size}.png`) });
      const beyond = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (beyond > 0) problems.push(`${name}: ${beyond} px too wide`);
      // French stands in the same elements as English.
      if (language !== 'fr') problems.push(...(await findings(page)).map((finding) => `${name}: ${finding}`));
    };
    const goTo = (place: string) => page.evaluate((hash) => void (location.hash = hash), `#/${place}`);

    await page.goto(server!.url);
    await page.locator('.sign-in form').waitFor();
    await look('sign-in');
    await page.locator('.links button').first().click();
    await page.locator('input[name=password_confirm]').waitFor();
    await page.locator('form button[type=submit]').click();
    await page.locator('[aria-invalid=true]').first().waitFor();
    await look('register-faults');
    await page.locator('.links button').first().click();
    await page.getByRole('button', { name: 'alice', exact: true }).click();
    await page.locator('a.row time').first().waitFor();
    await look('chats');

    await goTo(`chat/${scene.group}`);
    await page.locator('.message .sound').waitFor();
    await page.locator('.message .picture img[src]').last().waitFor();
    await look('group');
    await page.locator('.bubble').last().click({ button: 'right', position: { x: 24, y: 24 } }); // below the tools, on either side
    await page.getByRole('menu').waitFor();
    await look('message-menu');
    await page.keyboard.press('Escape');
    await page.locator('.composer-field button').last().click();
    await page.locator('.emoji-grid button').first().waitFor();
    await look('emoji');
    await page.keyboard.press('Escape');
    await page.locator('.composer .primary').click();
    await page.locator('.record-dot.live').waitFor();
    await look('recording');
    await page.locator('.recorder .bad').click();
    await page.locator('.conversation-head button').click();
    await page.locator('.gallery img[src]').first().waitFor();
    await look('details');
    await page.locator('.gallery button').first().click();
    await page.locator('.viewer img[src]').waitFor();
    await look('viewer');
    await page.keyboard.press('Escape');
    await page.locator('.info-head button').click();
    await goTo(`chat/${scene.direct}`);
    await page.locator('.message').last().waitFor();
    await look('direct');

    await goTo('chat');
    await page.locator('.list [data-key=new]').click();
    await page.locator('dialog input[type=search]').fill('ya');
    await page.locator('dialog .choice').first().waitFor();
    await look('new-chat');
    await page.locator('dialog .actions button').last().click();
    await page.locator('[data-key=search]').fill('voiture');
    await page.locator('mark').first().waitFor();
    await look('search');
    await page.locator('[data-key=search]').fill('');
    await page.locator('.account').click();
    await page.locator('.account-menu').waitFor();
    await look('account');
    await page.keyboard.press('Escape');
    if (size === 'phone') {
      await goTo('settings');
      await page.locator('.setting').first().waitFor();
      await look('settings');
    }
    for (const name of SETTINGS) {
      await goTo(`settings/${name}`);
      await page.locator('.sheet .block, .sheet .cards li').first().waitFor();
      await look(`settings-${name}`);
    }
    await context.close();
    expect(problems).toEqual([]);
  });

  it('has its first picture as soon as its budget says', async () => {
    const page = await browser.newPage({ viewport: { width: 360, height: 740 } });
    const devtools = await page.context().newCDPSession(page);
    // A middling phone on a middling network.
    await devtools.send('Emulation.setCPUThrottlingRate', { rate: 4 });
    await devtools.send('Network.enable');
    await devtools.send('Network.emulateNetworkConditions', { offline: false, latency: 75, downloadThroughput: 200_000, uploadThroughput: 90_000 });
    const received: Record<string, number> = {};
    const names = new Map<string, string>();
    devtools.on('Network.responseReceived', ({ requestId, response }) => names.set(requestId, new URL(response.url).pathname));
    devtools.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
      received[names.get(requestId) ?? '?'] = encodedDataLength;
    });
    await page.goto(server!.url);
    await page.locator('.sign-in form').waitFor();
    const paint = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0);
    const shift = await page.evaluate(
      () =>
        new Promise<number>((done) => {
          new PerformanceObserver((list) => done(list.getEntries().reduce((sum, entry) => sum + (entry as unknown as { value: number }).value, 0))).observe({ type: 'layout-shift', buffered: true });
          setTimeout(() => done(0), 500);
        }),
    );
    console.log(`first contentful paint: ${Math.round(paint)} ms, layout shift: ${shift.toFixed(3)}`, received);
    // A time depends on the machine, so it is printed; what is sent and what jumps does not.
    const scripts = Object.keys(received).filter((path) => /\.(js|css)$/.test(path)).sort();
    const signIn = ['SignIn.js', 'app.css', 'app.js', 'forms.js', 'messages.js', 'rolldown-runtime.js', 'shared.js'];
    expect(scripts).toEqual(signIn.map((name) => `/static/app/${name}`));
    expect(shift).toBeLessThan(0.1);
    await page.close();
  });
});
