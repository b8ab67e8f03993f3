/** Tells of messages while nobody looks at the page. */
import { useEffect } from 'react';

import { useAuth, useChat } from 'alviar-client/react';
import { isMuted, nameOf, titleOf } from './chat';
import { useText } from './i18n';

const WISH = 'notify';

export const canNotify = typeof Notification !== 'undefined';

/** Wished for in this browser, and allowed by it. */
export function notifies(): boolean {
  return canNotify && Notification.permission === 'granted' && localStorage.getItem(WISH) === 'on';
}

/** The browser asks once; what it answered is told. */
export async function wishNotifications(on: boolean): Promise<boolean> {
  if (on && (await Notification.requestPermission()) === 'granted') localStorage.setItem(WISH, 'on');
  else localStorage.removeItem(WISH);
  return notifies();
}

export function useNotifications(): void {
  const { t } = useText();
  const { user } = useAuth();
  const chat = useChat();
  useEffect(
    () =>
      chat.on('event', ({ kind, data }) => {
        if (kind !== 'message.created' || !('content' in data) || !document.hidden || !notifies()) return;
        const conversation = chat.conversation(data.conversation_uuid);
        if (!conversation || data.sender?.id === user?.id) return;
        if (isMuted(conversation)) return;
        const who = nameOf(data.sender, t);
        const body = data.content || (data.attachments[0]?.name ?? '');
        // One for each conversation: a later message takes the place of the one before.
        const shown = new Notification(titleOf(conversation, user?.id, t), {
          body: conversation.kind === 'group' ? `${who}: ${body}` : body,
          tag: conversation.uuid,
          icon: '/static/app/icon-192.png',
        });
        shown.onclick = () => {
          focus();
          location.hash = `#/chat/${conversation.uuid}`;
          shown.close();
        };
      }),
    [chat, user?.id, t],
  );
}
