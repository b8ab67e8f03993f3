import { useState } from 'react';

import type { Attachment } from 'alviar-client';
import { useAuth, useChat } from 'alviar-client/react';
import { readBytes, saveAs, useBytes } from './Attachment';
import { useText } from './i18n';
import { Dialog } from './ui/form';
import { Icon } from './ui/icons';

/** One picture as large as the window, and with the arrows the others of the conversation. */
export function Viewer(props: { first: Attachment; conversation: string; among?: Attachment[]; onClose: () => void }) {
  const { first, conversation, among, onClose } = props;
  const { t } = useText();
  const { client } = useAuth();
  const chat = useChat();
  const [pictures] = useState(
    () =>
      among ??
      chat
        .timeline(conversation)
        .flatMap(({ attachments, deleted_at }) => (deleted_at ? [] : attachments))
        .filter(({ kind, state }) => kind === 'image' && state !== 'processing'),
  );
  const [index, setIndex] = useState(Math.max(0, pictures.findIndex(({ uuid }) => uuid === first.uuid)));
  const picture = pictures[index] ?? first;
  const { source, problem } = useBytes(picture.url);
  const go = (step: number) => setIndex((index + step + pictures.length) % pictures.length);
  const forward = document.documentElement.dir === 'rtl' ? 'ArrowLeft' : 'ArrowRight';
  const backward = document.documentElement.dir === 'rtl' ? 'ArrowRight' : 'ArrowLeft';
  return (
    <Dialog title={picture.name} className="viewer" onClose={onClose}>
      <div
        className="viewer-body"
        onKeyDown={(event) => {
          if (event.key === forward) go(1);
          else if (event.key === backward) go(-1);
        }}
      >
        <div className="viewer-bar">
          <bdi>{picture.name}</bdi>
          <button type="button" className="icon-button" aria-label={`${t('download')}: ${picture.name}`} onClick={() => void readBytes(client, picture.url).then((bytes) => saveAs(bytes, picture.name), () => {})}>
            <Icon name="download" />
          </button>
          <button type="button" className="icon-button" aria-label={t('close')} onClick={onClose}>
            <Icon name="close" />
          </button>
        </div>
        {source && <img src={source} alt={picture.name} />}
        {problem && <p role="alert">{problem}</p>}
        {pictures.length > 1 && (
          <>
            <button type="button" className="icon-button viewer-back" aria-label={t('previousPicture')} onClick={() => go(-1)}>
              <Icon name="back" />
            </button>
            <button type="button" className="icon-button viewer-next" aria-label={t('nextPicture')} onClick={() => go(1)}>
              <Icon name="next" />
            </button>
          </>
        )}
      </div>
    </Dialog>
  );
}
