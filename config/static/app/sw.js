/* The service worker: it shows pushes, takes away what was read elsewhere, and opens the conversation on a click.
   It keeps no copy of the page: what is shown is always what the server has. */
const WORDS = {
  en: 'New message',
  fr: 'Nouveau message',
  ar: 'رسالة جديدة',
};

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

self.addEventListener('push', (event) => {
  const push = event.data?.json() ?? {};
  event.waitUntil(push.seen ? clear(push) : show(push));
});

async function show(push) {
  await badge(push.badge);
  const body = push.body ?? WORDS[navigator.language.slice(0, 2)] ?? WORDS.en;
  await self.registration.showNotification(push.title ?? 'Alviar', {
    body,
    // One for each conversation: a later message takes the place of the one before, and is heard again.
    tag: push.conversation_uuid ?? push.notice ?? 'alviar',
    renotify: true,
    icon: '/static/app/icon-192.png',
    badge: '/static/app/badge-96.png',
    data: push,
  });
}

async function clear(push) {
  await badge(push.badge);
  for (const shown of await self.registration.getNotifications({ tag: push.conversation_uuid })) {
    if (shown.data.seq <= push.seq) shown.close();
  }
}

async function badge(count) {
  if (count !== undefined && navigator.setAppBadge) await navigator.setAppBadge(count).catch(() => {});
}

self.addEventListener('notificationclick', (event) => {
  event.notification.close();
  const { conversation_uuid, notice } = event.notification.data ?? {};
  event.waitUntil(open(conversation_uuid ? `#/chat/${conversation_uuid}` : notice ? '#/settings/security' : '#/chat'));
});

/** In a window that is there, or in a new one. */
async function open(place) {
  const windows = await self.clients.matchAll({ type: 'window', includeUncontrolled: true });
  const page = windows.find(({ url }) => new URL(url).pathname === '/');
  if (!page) return self.clients.openWindow(`/${place}`);
  page.postMessage({ open: place });
  return page.focus();
}
