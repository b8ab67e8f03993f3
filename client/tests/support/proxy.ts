/** A wire that can be cut: what a browser loses in a tunnel, which its own "offline" switch does not do to a socket. */
import { connect, createServer, type Socket } from 'node:net';

export interface Wire {
  url: string;
  /** Ends every connection and lets no new one through. */
  cut(): void;
  mend(): void;
  close(): Promise<void>;
}

export async function wireTo(target: string): Promise<Wire> {
  const { hostname, port } = new URL(target);
  const open = new Set<Socket>();
  let whole = true;
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
      here.pipe(there);
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
    mend: () => (whole = true),
    close: () => {
      cut();
      return new Promise((done) => server.close(() => done()));
    },
  };
}
