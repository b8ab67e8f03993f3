/** A real server process (`tests/live.py`) with a database and a mail folder of its own, for the live and browser tests. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const REPOSITORY = join(import.meta.dirname, '../../..');
const PYTHON = process.env.ALVIAR_PYTHON ?? join(REPOSITORY, '.venv/bin/python');
const START_TIMEOUT_MS = 240_000;

export interface Server {
  url: string;
  socketUrl: string;
  /** Kills the process as a crash would. */
  kill(): Promise<void>;
  /** Asks it to end (SIGTERM): sockets are told. */
  terminate(): Promise<void>;
  /** Starts it again on the same port and database. */
  restart(): Promise<void>;
  /** Starts it again on the same port with a new database and no mails: nothing of what was done is left. */
  renew(): Promise<void>;
  /** Ends it for good and removes its files. */
  remove(): Promise<void>;
  /** The texts of the mails to this address, oldest first. */
  mailsTo(address: string): string[];
  output(): string;
}

/** The running server, or null (with the reason on the console) where none can be started. */
export async function startServer(environment: Record<string, string> = {}): Promise<Server | null> {
  if (!existsSync(PYTHON)) return refused(`there is no ${PYTHON}: run \`make run\` once, it installs what is needed`);
  const folder = mkdtempSync(join(tmpdir(), 'alviar-client-'));
  let url = '';
  let output = '';
  let child: ChildProcess | null = null;

  const launch = async () => {
    const settings = {
      LOG_LEVEL: 'WARNING',
      DRAIN_SECONDS: '2',
      ...environment,
      ...(url && { PORT: new URL(url).port }),
    };
    const named = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
    const started = spawn(PYTHON, ['-m', 'tests.live', folder, ...named], {
      cwd: REPOSITORY,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child = started;
    started.stdout!.on('data', (text) => (output += text));
    started.stderr!.on('data', (text) => (output += text));
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (Date.now() < deadline && started.exitCode === null) {
      url ||= /^http:.*$/m.exec(output)?.[0] ?? '';
      if (url && (await answers(`${url}/readyz`))) return true;
      await new Promise((done) => setTimeout(done, 100));
    }
    return false;
  };

  const stop = async (signal: NodeJS.Signals) => {
    const ending = child;
    child = null;
    if (!ending || ending.exitCode !== null || ending.signalCode !== null) return;
    const gone = new Promise((done) => ending.once('exit', done));
    ending.kill(signal);
    await gone;
  };

  if (!(await launch())) {
    await stop('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
    return refused(`the server did not start:\n${output}`);
  }
  return {
    url,
    socketUrl: `${url.replace('http', 'ws')}/ws/chat/`,
    kill: () => stop('SIGKILL'),
    terminate: () => stop('SIGTERM'),
    restart: async () => {
      if (!(await launch())) throw new Error(`the server did not come back:\n${output}`);
    },
    renew: async () => {
      await stop('SIGKILL');
      for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true, force: true });
      if (!(await launch())) throw new Error(`the server did not come back:\n${output}`);
    },
    remove: async () => {
      await stop('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
    mailsTo(address) {
      const mails = join(folder, 'mail');
      if (!existsSync(mails)) return [];
      return readdirSync(mails)
        // A dot: still being written.
        .filter((name) => !name.startsWith('.'))
        .sort()
        .map((name) => readFileSync(join(mails, name), 'utf8'))
        .filter((text) => new RegExp(`^To:.*${address.replace(/[.+]/g, '\\$&')}`, 'im').test(text))
        .map((text) => (/^Content-Transfer-Encoding: quoted-printable/im.test(text) ? decodeQuotedPrintable(text) : text));
    },
    output: () => output,
  };
}

/** By `node:http`: the `fetch` of happy-dom prints every refused connection. */
function answers(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    get(url, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    }).on('error', () => resolve(false));
  });
}

function refused(reason: string): null {
  // In CI a suite that silently tests nothing is worse than a red one.
  if (process.env.CI || process.env.REQUIRE_SERVER) throw new Error(reason);
  console.warn(`\n!!! SKIPPED: no live server. ${reason}\n`);
  return null;
}

/** The newest sign-in code that was mailed to this address after its first so many mails: other mails may come after it. */
export function mailedCode(server: Server, address: string, after = 0): string | undefined {
  const codes = server.mailsTo(address).slice(after).map((text) => /: (\d{6})\b/.exec(text)?.[1]);
  return codes.filter((code) => code !== undefined).at(-1);
}

function decodeQuotedPrintable(text: string): string {
  return text.replace(/=\r?\n/g, '').replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
}

/** Waits until it holds; the last value that did. */
export async function until<Value>(what: string, look: () => Value | Promise<Value>, timeoutMs = 60_000): Promise<NonNullable<Value>> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const value = await look();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((done) => setTimeout(done, 25));
  }
}
