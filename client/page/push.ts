/** Messages while the page is closed: a service worker, Web Push, and a registration that belongs to this session. */
import { useEffect, useMemo } from 'react';

import type { AuthClient } from 'alviar-client';
import { useAuth } from 'alviar-client/react';

/** How much a push may say: everything, the sender, or only that there is something. */
export type Show = 'full' | 'sender' | 'nothing';
const WISH = 'push';

export const canPush = 'serviceWorker' in navigator && 'PushManager' in window;

/** What was wished for in this browser; null where it was not. */
export function pushShow(): Show | null {
  return localStorage.getItem(WISH) as Show | null;
}

export function usePush() {
  const { client } = useAuth();
  return useMemo(() => {
    const calls = () => import('alviar-client/accounts').then(({ Accounts }) => new Accounts(client));
    return {
      async subscribe(show: Show): Promise<void> {
        const [worker, accounts] = await Promise.all([navigator.serviceWorker.register('/sw.js'), calls()]);
        const { vapid_public_key } = await accounts.pushKey();
        const subscription = await subscriptionFor(worker, vapid_public_key);
        await accounts.registerPush({ provider: 'webpush', subscription: subscription.toJSON(), show });
        localStorage.setItem(WISH, show);
      },
      async unsubscribe(): Promise<void> {
        localStorage.removeItem(WISH);
        await (await calls()).unregisterPush();
        const worker = await navigator.serviceWorker.getRegistration('/');
        await (await worker?.pushManager.getSubscription())?.unsubscribe();
      },
    };
  }, [client]);
}

/** A subscription is bound to the server's key: where that has changed it is made anew. */
async function subscriptionFor(worker: ServiceWorkerRegistration, key: string): Promise<PushSubscription> {
  const held = await worker.pushManager.getSubscription();
  if (held && base64url(held.options.applicationServerKey) === key) return held;
  await held?.unsubscribe();
  return worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
}

function base64url(bytes: ArrayBuffer | null): string {
  const text = String.fromCharCode(...new Uint8Array(bytes ?? new ArrayBuffer(0)));
  return btoa(text).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}

/** Once a start: the registration ended with the last session, and the browser may have another address by now. */
export function usePushUpkeep(): void {
  const { client, sessionId } = useAuth();
  const push = usePush();
  useEffect(() => {
    if (!('serviceWorker' in navigator)) return;
    // The worker opens a conversation in the window that is there already.
    const told = ({ data }: MessageEvent<{ open?: string }>) => {
      if (data.open) location.hash = data.open;
    };
    navigator.serviceWorker.addEventListener('message', told);
    void renew(client, push);
    return () => navigator.serviceWorker.removeEventListener('message', told);
  }, [client, push, sessionId]);
}

async function renew(client: AuthClient, push: ReturnType<typeof usePush>): Promise<void> {
  const show = pushShow();
  if (!canPush || !show || Notification.permission !== 'granted') return;
  await client.ensureValidToken(1);
  await push.subscribe(show).catch(() => {});
}
