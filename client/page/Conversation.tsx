import { useState } from 'react';

import type { Conversation as ConversationType } from 'alviar-client';
import { useAuth, useMessages, usePresence, useTyping } from 'alviar-client/react';
import { identityOf, memberOf, nameOf, others, titleOf } from './chat';
import { Composer, type ComposerMode } from './Composer';
import { History } from './History';
import { useText } from './i18n';
import { Info } from './later';
import { Avatar } from './ui/Avatar';
import { Icon } from './ui/icons';

export function Conversation({ conversation, place }: { conversation: ConversationType; place: number | null }) {
  const { uuid } = conversation;
  const { t } = useText();
  const { user } = useAuth();
  const { messages: timeline, hasOlder, loadOlder } = useMessages(uuid);
  const [mode, setMode] = useState<ComposerMode>({ kind: 'write' });
  const [info, setInfo] = useState(false);

  const editLast = () => {
    const last = timeline.findLast((message) => message.sender?.id === user?.id && !message.deleted_at);
    if (last?.status === 'stored') setMode({ kind: 'edit', message: last });
  };

  return (
    <main className="conversation" id="main" tabIndex={-1} data-info={info} aria-label={titleOf(conversation, user?.id, t)}>
      <div className="talk">
        <Head conversation={conversation} info={info} onInfo={() => setInfo(!info)} />
        <History {...{ conversation, timeline, hasOlder, loadOlder }} target={place} onMode={setMode} />
        <TypingLine conversation={conversation} />
        <Composer conversation={conversation} lastOwn={timeline.findLast((message) => message.sender?.id === user?.id)} mode={mode} onMode={setMode} onEditLast={editLast} />
      </div>
      {info && <Info conversation={conversation} onClose={() => setInfo(false)} />}
    </main>
  );
}

function Head({ conversation, info, onInfo }: { conversation: ConversationType; info: boolean; onInfo: () => void }) {
  const { t, ago } = useText();
  const { user } = useAuth();
  const partner = conversation.kind === 'direct' ? others(conversation, user?.id)[0]?.user.id : undefined;
  const presence = usePresence(partner);
  const title = titleOf(conversation, user?.id, t);
  const line =
    conversation.kind === 'group'
      ? t('members', { n: conversation.members_count })
      : presence?.online
        ? t('online')
        : presence?.last_seen_at
          ? t('lastSeen', { when: ago(presence.last_seen_at) })
          : '';
  return (
    <header className="conversation-head">
      <a className="back icon-button" href="#/chat" aria-label={t('back')}>
        <Icon name="back" />
      </a>
      <Avatar name={title} id={identityOf(conversation, user?.id)} online={presence?.online ?? false} />
      <div>
        <h1 dir="auto">{title}</h1>
        <small role="status">{line}</small>
      </div>
      <button type="button" className="icon-button" aria-label={t('info')} title={t('info')} aria-expanded={info} onClick={onInfo}>
        <Icon name="info" />
      </button>
    </header>
  );
}

function TypingLine({ conversation }: { conversation: ConversationType }) {
  const { t, list } = useText();
  const typing = useTyping(conversation.uuid);
  const who = list(typing.map((id) => nameOf(memberOf(conversation, id), t)));
  return (
    <p className="typing" role="status">
      {typing.length > 0 && t(typing.length === 1 ? 'isTyping' : 'areTyping', { who })}
    </p>
  );
}
