/** Messages while the page is closed: a service worker, Web Push, and a registration that belongs to this session. */
import { useEffect, useMemo } from 'react';

import type { AuthClient } from 'alviar-client';
import { useAuth } from 'alviar-client/react';
import { forgetPushes, HOLDER } from './forget';
import { ofBrowser } from './stored';

/** How much a push may say: everything, the sender, or only that there is something. */
export type Show = 'full' | 'sender' | 'nothing';
const WISH = 'push';

export const canPush = 'serviceWorker' in navigator && 'PushManager' in window;

/** What this person wished for in this browser; null where they did not. */
export function pushShow(me: number | undefined): Show | null {
  return ofBrowser.getItem(wishOf(me)) as Show | null;
}

/** Each for themselves: the next person in this browser has wished for nothing yet. */
function wishOf(me: number | undefined): string {
  return `${WISH} ${me}`;
}

export function usePush() {
  const { client, user } = useAuth();
  const me = user?.id;
  return useMemo(() => {
    const calls = () => import('alviar-client/accounts').then(({ Accounts }) => new Accounts(client));
    return {
      async subscribe(show: Show): Promise<void> {
        const [worker, accounts] = await Promise.all([navigator.serviceWorker.register('/sw.js'), calls()]);
        const { vapid_public_key } = await accounts.pushKey();
        const subscription = await subscriptionFor(worker, vapid_public_key);
        await accounts.registerPush({ provider: 'webpush', subscription: subscription.toJSON(), show });
        ofBrowser.setItem(wishOf(me), show);
        ofBrowser.setItem(HOLDER, String(me));
      },
      async unsubscribe(): Promise<void> {
        ofBrowser.removeItem(wishOf(me));
        await (await calls()).unregisterPush();
        await forgetPushes(me);
      },
    };
  }, [client, me]);
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
  const { client, sessionId, user } = useAuth();
  const me = user?.id;
  const push = usePush();
  useEffect(() => {
    if (!('serviceWorker' in navigator)) return;
    // The worker opens a conversation in the window that is there already.
    const told = ({ data }: MessageEvent<{ open?: string }>) => {
      if (data.open) location.hash = data.open;
    };
    navigator.serviceWorker.addEventListener('message', told);
    void renew(client, push, me);
    return () => navigator.serviceWorker.removeEventListener('message', told);
  }, [client, push, sessionId, me]);
}

async function renew(client: AuthClient, push: ReturnType<typeof usePush>, me: number | undefined): Promise<void> {
  const show = pushShow(me);
  if (!canPush || !show || Notification.permission !== 'granted') return;
  await client.ensureValidToken(1);
  await push.subscribe(show).catch(() => {});
}
