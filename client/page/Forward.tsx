import { useState } from 'react';

import type { TimelineMessage } from 'alviar-client';
import { uploadAttachment } from 'alviar-client/media';
import { useAuth, useChat, useConversations } from 'alviar-client/react';
import { readBytes } from './Attachment';
import { excerptOf, identityOf, titleOf } from './chat';
import { useText } from './i18n';
import { Avatar } from './ui/Avatar';
import { Dialog, useWork } from './ui/form';
import { Icon } from './ui/icons';

/** The text goes as one's own; a file belongs to one message, so it is sent once more. */
export function Forward({ message, onClose }: { message: TimelineMessage; onClose: () => void }) {
  const { t } = useText();
  const { client, user } = useAuth();
  const chat = useChat();
  const conversations = useConversations();
  const { busy, run, outcome } = useWork();
  const [query, setQuery] = useState('');
  const shown = conversations.filter((one) => titleOf(one, user?.id, t).toLowerCase().includes(query.trim().toLowerCase()));
  const send = (uuid: string) =>
    run(async () => {
      const attachments = [];
      for (const { url, name } of message.attachments) {
        attachments.push(await uploadAttachment(client, await readBytes(client, url), { name }));
      }
      chat.sendMessage(uuid, message.content, attachments.length > 0 ? { attachments } : {});
      onClose();
      location.hash = `#/chat/${uuid}`;
    });
  return (
    <Dialog title={t('forwardTo')} onClose={onClose}>
      <blockquote dir="auto">
        <span>{excerptOf(message)}</span>
      </blockquote>
      <div className="search-field">
        <Icon name="search" />
        <input type="search" dir="auto" aria-label={t('findChats')} placeholder={t('findChats')} value={query} onInput={(event) => setQuery(event.currentTarget.value)} />
      </div>
      {outcome}
      <ul className="choices">
        {shown.map((one) => {
          const title = titleOf(one, user?.id, t);
          return (
            <li key={one.uuid}>
              <button type="button" className="choice" disabled={busy} onClick={() => void send(one.uuid)}>
                <Avatar name={title} id={identityOf(one, user?.id)} small />
                <span dir="auto">{title}</span>
                <Icon name="send" />
              </button>
            </li>
          );
        })}
      </ul>
      <div className="actions">
        <button type="button" onClick={onClose}>
          {t('cancel')}
        </button>
      </div>
    </Dialog>
  );
}
