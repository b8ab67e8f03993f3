/** A wire that can be cut, swallow and slow down: what a browser's own "offline" switch does not do to a socket. */
import { connect, createServer, type Socket } from 'node:net';

export interface Wire {
  url: string;
  /** Ends every connection and lets no new one through. */
  cut(): void;
  /** Everything stays open and nothing arrives any more, in either direction, as in a tunnel. */
  swallow(): void;
  /** Each piece takes so long. */
  slow(ms: number): void;
  mend(): void;
  close(): Promise<void>;
}

export async function wireTo(target: string): Promise<Wire> {
  const { hostname, port } = new URL(target);
  const open = new Set<Socket>();
  let whole = true;
  let swallowing = false;
  let delayMs = 0;
  const server = createServer((near) => {
    if (!whole) return void near.destroy();
    const far = connect(Number(port), hostname);
    for (const [here, there] of [[near, far], [far, near]] as const) {
      open.add(here);
      here.on('error', () => {});
      here.on('close', () => {
        open.delete(here);
        there.destroy();
      });
      here.on('data', (data) => {
        if (swallowing) return;
        // One after the other: all of them take as long.
        if (delayMs > 0) setTimeout(() => there.writable && there.write(data), delayMs);
        else there.write(data);
      });
    }
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const cut = () => {
    whole = false;
    for (const socket of open) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    cut,
    swallow: () => (swallowing = true),
    slow: (ms) => (delayMs = ms),
    mend: () => {
      whole = true;
      swallowing = false;
      delayMs = 0;
    },
    close: () => {
      cut();
      return new Promise((done) => server.close(() => done()));
    },
  };
}
