/** Tells of messages while nobody looks at the page. */
import { useEffect } from 'react';

import { useAuth, useChat } from 'alviar-client/react';
import { isMuted, nameOf, titleOf } from './chat';
import { useText } from './i18n';
import { ofBrowser } from './stored';

const WISH = 'notify';

export const canNotify = typeof Notification !== 'undefined';

/** Wished for by this person in this browser, and allowed by it. */
export function notifies(me: number | undefined): boolean {
  return canNotify && Notification.permission === 'granted' && ofBrowser.getItem(`${WISH} ${me}`) === 'on';
}

/** The browser asks once; what it answered is told. */
export async function wishNotifications(on: boolean, me: number | undefined): Promise<boolean> {
  if (on && (await Notification.requestPermission()) === 'granted') ofBrowser.setItem(`${WISH} ${me}`, 'on');
  else ofBrowser.removeItem(`${WISH} ${me}`);
  return notifies(me);
}

export function useNotifications(): void {
  const { t } = useText();
  const { user } = useAuth();
  const chat = useChat();
  useEffect(() => {
    const open = new Set<Notification>();
    const stop = chat.on('event', ({ kind, data }) => {
      if (kind !== 'message.created' || !('content' in data) || !document.hidden || !notifies(user?.id)) return;
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
      open.add(shown);
      shown.onclose = () => open.delete(shown);
      shown.onclick = () => {
        focus();
        location.hash = `#/chat/${conversation.uuid}`;
        shown.close();
      };
    });
    return () => {
      stop();
      // Whoever has signed out leaves none on the screen.
      for (const shown of open) shown.close();
    };
  }, [chat, user?.id, t]);
}
