import { useEffect, useRef, useState, type FormEvent, type KeyboardEvent } from 'react';

import type { TimelineMessage } from 'alviar-client';
import { useChat } from 'alviar-client/react';
import { nameOf, problemText } from './chat';
import { useText } from './i18n';
import { useUploads } from './uploads';

export type ComposerMode =
  | { kind: 'write' }
  | { kind: 'reply'; message: TimelineMessage }
  | { kind: 'edit'; message: TimelineMessage };

/** What was begun in each conversation, while the page is open. */
export const drafts = new Map<string, string>();

/** Enter sends, Shift+Enter breaks the line, ↑ in an empty field edits the last message, Escape leaves. */
export function Composer(props: {
  conversation: string;
  mode: ComposerMode;
  onMode: (mode: ComposerMode) => void;
  onEditLast: () => void;
}) {
  const { conversation, mode, onMode, onEditLast } = props;
  const { t } = useText();
  const chat = useChat();
  const [text, setText] = useState(drafts.get(conversation) ?? '');
  const [problem, setProblem] = useState('');
  const field = useRef<HTMLTextAreaElement>(null);
  const picker = useRef<HTMLInputElement>(null);
  const { uploads, add, drop, clear } = useUploads();
  const ready = uploads.flatMap(({ attachment }) => attachment ?? []);
  const complete = ready.length === uploads.length && (text.trim() !== '' || (ready.length > 0 && mode.kind !== 'edit'));

  // Files may be let fall anywhere on the conversation.
  useEffect(() => {
    const page = field.current!.closest('main')!;
    const over = (event: DragEvent) => event.dataTransfer?.types.includes('Files') && event.preventDefault();
    const fallen = (event: DragEvent) => {
      if (!event.dataTransfer?.files.length) return;
      event.preventDefault();
      add(event.dataTransfer.files);
    };
    page.addEventListener('dragover', over);
    page.addEventListener('drop', fallen);
    return () => {
      page.removeEventListener('dragover', over);
      page.removeEventListener('drop', fallen);
    };
  }, []);

  useEffect(() => {
    if (mode.kind === 'edit') setText(mode.message.content);
    if (mode.kind !== 'write' || matchMedia('(hover: hover)').matches) field.current?.focus();
  }, [mode]);

  useEffect(() => {
    if (mode.kind === 'edit') return;
    if (text) drafts.set(conversation, text);
    else drafts.delete(conversation);
  }, [conversation, mode, text]);

  useEffect(() => () => chat.setTyping(conversation, false), [conversation]);

  const leave = () => {
    if (mode.kind === 'edit') setText(drafts.get(conversation) ?? '');
    setProblem('');
    onMode({ kind: 'write' });
  };

  const submit = async (event?: FormEvent) => {
    event?.preventDefault();
    const content = text.trim();
    if (!complete) return;
    setProblem('');
    try {
      if (mode.kind === 'edit') await chat.edit(mode.message.uuid, content);
      else {
        chat.sendMessage(conversation, content, {
          ...(mode.kind === 'reply' && { reply_to: mode.message.uuid }),
          ...(ready.length > 0 && { attachments: ready }),
        });
        clear();
      }
    } catch (error) {
      return setProblem(problemText(error, t));
    }
    setText(mode.kind === 'edit' ? (drafts.get(conversation) ?? '') : '');
    onMode({ kind: 'write' });
    chat.setTyping(conversation, false);
  };

  const keyDown = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    // An input method's Enter chooses a word.
    if (event.nativeEvent?.isComposing ?? (event as unknown as { isComposing: boolean }).isComposing) return;
    if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      void submit();
    } else if (event.key === 'Escape') leave();
    else if (event.key === 'ArrowUp' && text === '') {
      event.preventDefault();
      onEditLast();
    }
  };

  return (
    <form className="composer" onSubmit={(event) => void submit(event)} aria-label={t('message')}>
      {mode.kind !== 'write' && (
        <div className="about-message">
          <span dir="auto">
            <strong>
              {mode.kind === 'edit' ? t('editing') : t('replyingTo', { who: nameOf(mode.message.sender, t) })}
            </strong>{' '}
            {mode.message.content}
          </span>
          <button type="button" className="quiet" aria-label={t('cancel')} onClick={leave}>
            ✕
          </button>
        </div>
      )}
      <p role="alert" className="bad" hidden={!problem}>
        {problem}
      </p>
      {uploads.length > 0 && (
        <ul className="uploads">
          {uploads.map(({ id, name, progress, attachment, problem }) => (
            <li key={id}>
              <bdi>{name}</bdi>
              {problem ? (
                <span className="bad" role="alert">
                  {problem}
                </span>
              ) : attachment ? (
                <span aria-label={t('uploaded')} role="img">
                  ✓
                </span>
              ) : (
                <progress value={progress} aria-label={t('uploading', { name })} />
              )}
              <button type="button" className="quiet" aria-label={`${t('remove')}: ${name}`} onClick={() => drop(id)}>
                ✕
              </button>
            </li>
          ))}
        </ul>
      )}
      <div className="composer-line">
        {mode.kind !== 'edit' && (
          <button type="button" className="quiet" aria-label={t('attach')} title={t('attach')} onClick={() => picker.current?.click()}>
            +
          </button>
        )}
        <input
          ref={picker}
          type="file"
          multiple
          hidden
          onChange={(event) => {
            add(event.currentTarget.files ?? []);
            event.currentTarget.value = '';
          }}
        />
        <textarea
          ref={field}
          rows={1}
          dir="auto"
          aria-label={t('message')}
          placeholder={t('message')}
          maxLength={4000}
          value={text}
          onInput={(event) => {
            setText(event.currentTarget.value);
            chat.setTyping(conversation, event.currentTarget.value !== '');
          }}
          onKeyDown={keyDown}
          onPaste={(event) => {
            const { files } = event.clipboardData;
            if (files.length === 0 || mode.kind === 'edit') return;
            event.preventDefault();
            add(files);
          }}
        />
        <button type="submit" className="primary" disabled={!complete}>
          {t(mode.kind === 'edit' ? 'save' : 'send')}
        </button>
      </div>
    </form>
  );
}
