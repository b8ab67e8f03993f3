/** A random UUID. React Native has no `crypto.randomUUID`, and a page on plain http has none either. */
export function uuid4(): string {
  const { crypto } = globalThis;
  const random = () => crypto?.getRandomValues?.(new Uint8Array(1))[0] ?? Math.random() * 256;
  return 'xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx'.replace(/[x8]/g, (letter) =>
    (letter === 'x' ? random() & 15 : (random() & 3) | 8).toString(16),
  );
}
