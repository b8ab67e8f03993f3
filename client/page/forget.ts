/** Nothing of one person stays in the browser for the next: called at every sign-out, before anybody else is shown anything. */
import { dropDrafts } from './drafts';
import { ofBrowser } from './stored';

/** Whose the browser's one subscription for pushes is. */
export const HOLDER = 'push holder';
export const RECENT = 'recent_emoji';

export function forget(me: number | undefined): void {
  dropDrafts();
  ofBrowser.removeItem(RECENT);
  void forgetPushes(me).catch(() => {});
}

/**
 * Ends what this person's pushes left in the browser: the subscription, so that nothing that still waits at the push
 * service is shown, and what is on the screen. One browser has one subscription: where another person's window has taken
 * it over, it stays.
 */
export async function forgetPushes(me: number | undefined): Promise<void> {
  if (ofBrowser.getItem(HOLDER) !== String(me)) return;
  ofBrowser.removeItem(HOLDER);
  const worker = await navigator.serviceWorker.getRegistration('/');
  for (const shown of (await worker?.getNotifications()) ?? []) shown.close();
  await navigator.clearAppBadge?.().catch(() => {});
  await (await worker?.pushManager.getSubscription())?.unsubscribe();
}
