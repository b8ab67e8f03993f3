import { useState } from 'react';

import type { Attachment, Conversation } from 'alviar-client';
import { FileRow, useBytes } from './Attachment';
import { AudioPlayer } from './AudioPlayer';
import { useText } from './i18n';
import { Viewer } from './later';
import { useResults } from './results';
import { Words } from './Words';

const TABS = ['pictures', 'files', 'voices', 'links'] as const;
type Tab = (typeof TABS)[number];
const KINDS: Record<Exclude<Tab, 'links'>, ReadonlyArray<Attachment['kind']>> = {
  pictures: ['image'],
  files: ['file', 'video'],
  voices: ['audio'],
};

/** Everything that was sent into this conversation, newest first. */
export function SharedMedia({ conversation }: { conversation: Conversation }) {
  const { t } = useText();
  const [tab, setTab] = useState<Tab>('pictures');
  const [viewed, setViewed] = useState<Attachment | null>(null);
  const has = tab === 'links' ? 'link' : 'attachment';
  const { uuid } = conversation;

  // A new message may have brought something.
  const { results, more, problem } = useResults({ q: '', conversation_uuid: uuid, has }, { again: conversation.last_message?.uuid });

  const attachments = (results ?? []).flatMap(({ message }) => message.attachments).filter(({ state }) => state !== 'processing');
  const shown = tab === 'links' ? [] : attachments.filter(({ kind }) => KINDS[tab].includes(kind));
  const nothing = results !== null && (tab === 'links' ? results.length === 0 : shown.length === 0);
  return (
    <section aria-label={t('sharedMedia')}>
      <h3>{t('sharedMedia')}</h3>
      <div className="tabs" role="group" aria-label={t('sharedMedia')}>
        {TABS.map((each) => (
          <button type="button" key={each} aria-pressed={tab === each} onClick={() => setTab(each)}>
            {t(`shared_${each}`)}
          </button>
        ))}
      </div>
      <p role="alert" className="bad" hidden={!problem}>
        {problem}
      </p>
      {nothing && <p className="hint">{t('nothingShared')}</p>}
      {tab === 'pictures' && (
        <ul className="gallery">
          {shown.map((attachment) => (
            <li key={attachment.uuid}>
              <Thumbnail attachment={attachment} onOpen={() => setViewed(attachment)} />
            </li>
          ))}
        </ul>
      )}
      {tab === 'files' && shown.map((attachment) => <FileRow key={attachment.uuid} attachment={attachment} />)}
      {tab === 'voices' && shown.map((attachment) => <AudioPlayer key={attachment.uuid} attachment={attachment} />)}
      {tab === 'links' && (
        <ul className="shared-links">
          {results?.map(({ message }) => (
            <li key={message.uuid} dir="auto">
              <Words text={message.content} />
            </li>
          ))}
        </ul>
      )}
      {more && (
        <button type="button" onClick={more}>
          {t('more')}
        </button>
      )}
      {viewed && <Viewer first={viewed} conversation={uuid} among={shown} onClose={() => setViewed(null)} />}
    </section>
  );
}

function Thumbnail({ attachment, onOpen }: { attachment: Attachment; onOpen: () => void }) {
  const { source } = useBytes(attachment.thumbnail_url ?? attachment.url);
  return (
    <button type="button" aria-label={attachment.name} onClick={onOpen}>
      <img src={source || undefined} alt="" />
    </button>
  );
}
