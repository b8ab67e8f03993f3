import { useEffect, useLayoutEffect, useRef, useState, type FormEvent, type KeyboardEvent } from 'react';

import type { Conversation, TimelineMessage } from 'alviar-client';
import { useChat } from 'alviar-client/react';
import { excerptOf, nameOf, problemText } from './chat';
import { dropDraft, draftOf, keepDraft } from './drafts';
import { useText } from './i18n';
import { EmojiPicker, Recorder } from './later';
import { Icon } from './ui/icons';
import { Countdown, useSecondsUntil } from './ui/wait';
import { useUploads, type Upload } from './uploads';

export type ComposerMode =
  | { kind: 'write' }
  | { kind: 'reply'; message: TimelineMessage }
  | { kind: 'edit'; message: TimelineMessage };

const canRecord = typeof MediaRecorder !== 'undefined' && Boolean(navigator.mediaDevices?.getUserMedia);

/** Slow mode: until when a plain member has to wait after their last message. */
function slowUntil({ slow_mode_seconds = 0, my_role }: Conversation, lastOwn: TimelineMessage | undefined): number {
  if (!slow_mode_seconds || my_role !== 'member' || !lastOwn) return 0;
  // A clock that is behind the server's makes nobody wait longer.
  return Math.min(Date.parse(lastOwn.created_at), Date.now()) + slow_mode_seconds * 1000;
}

/** Enter sends, Shift+Enter breaks the line, ↑ in an empty field edits the last message, Escape leaves. */
export function Composer(props: {
  conversation: Conversation;
  /** One's own last message, where it is known. */
  lastOwn: TimelineMessage | undefined;
  mode: ComposerMode;
  onMode: (mode: ComposerMode) => void;
  onEditLast: () => void;
}) {
  const { mode, lastOwn, onMode, onEditLast } = props;
  const conversation = props.conversation.uuid;
  const { t, span } = useText();
  const chat = useChat();
  const [text, setText] = useState(draftOf(conversation));
  const [problem, setProblem] = useState('');
  const [recording, setRecording] = useState(false);
  const [picker, setPicker] = useState<HTMLElement | null>(null);
  const field = useRef<HTMLTextAreaElement>(null);
  const files = useRef<HTMLInputElement>(null);
  const { uploads, add, drop, clear } = useUploads();
  const ready = uploads.flatMap(({ attachment }) => attachment ?? []);
  const [until, setUntil] = useState(0);
  useEffect(() => setUntil(slowUntil(props.conversation, lastOwn)), [lastOwn?.created_at, props.conversation.slow_mode_seconds, props.conversation.my_role]);
  const wait = useSecondsUntil(mode.kind === 'edit' ? 0 : until);
  const slow = props.conversation.my_role === 'member' ? (props.conversation.slow_mode_seconds ?? 0) : 0;
  const complete = wait === 0 && ready.length === uploads.length && (text.trim() !== '' || (ready.length > 0 && mode.kind !== 'edit'));
  const empty = text === '' && uploads.length === 0 && mode.kind !== 'edit';

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

  // At once: an effect that waits for the next frame is dropped when the conversation is left within it.
  useLayoutEffect(() => {
    if (mode.kind !== 'edit') keepDraft(conversation, text);
  }, [conversation, mode, text]);

  useEffect(() => () => chat.setTyping(conversation, false), [conversation]);

  const leave = () => {
    if (mode.kind === 'edit') setText(draftOf(conversation));
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
        dropDraft(conversation);
        clear();
      }
    } catch (error) {
      return setProblem(problemText(error, t));
    }
    setText(mode.kind === 'edit' ? draftOf(conversation) : '');
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

  const insert = (emoji: string) => {
    const element = field.current!;
    const { selectionStart: from, selectionEnd: to } = element;
    setText(text.slice(0, from) + emoji + text.slice(to));
    requestAnimationFrame(() => element.setSelectionRange(from + emoji.length, from + emoji.length));
  };

  if (recording) {
    return (
      <Recorder
        conversation={conversation}
        onDone={() => {
          setRecording(false);
          // The field is there again with the next rendering.
          setTimeout(() => field.current?.focus());
        }}
      />
    );
  }
  return (
    <form className="composer" onSubmit={(event) => void submit(event)} aria-label={t('message')}>
      {mode.kind !== 'write' && (
        <div className="about-message">
          <Icon name={mode.kind} />
          <span dir="auto">
            <strong>
              {mode.kind === 'edit' ? t('editing') : t('replyingTo', { who: nameOf(mode.message.sender, t) })}
            </strong>
            <span>{excerptOf(mode.message)}</span>
          </span>
          <button type="button" className="icon-button" aria-label={t('cancel')} onClick={leave}>
            <Icon name="close" />
          </button>
        </div>
      )}
      <p role="alert" className="bad" hidden={!problem}>
        {problem}
      </p>
      {slow > 0 && (
        <p className="slow-mode" role="status">
          <Icon name="clock" />
          <span>{t('slowAbout', { length: span(slow) })}</span> {wait > 0 && <Countdown seconds={wait} />}
        </p>
      )}
      <Uploads uploads={uploads} onDrop={drop} />
      <div className="composer-line">
        <input
          ref={files}
          type="file"
          multiple
          hidden
          onChange={(event) => {
            add(event.currentTarget.files ?? []);
            event.currentTarget.value = '';
          }}
        />
        <div className="composer-field">
          {mode.kind !== 'edit' && (
            <button type="button" className="icon-button" aria-label={t('attach')} title={t('attach')} onClick={() => files.current?.click()}>
              <Icon name="attach" />
            </button>
          )}
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
              const pasted = event.clipboardData.files;
              if (pasted.length === 0 || mode.kind === 'edit') return;
              event.preventDefault();
              add(pasted);
            }}
          />
          <button
            type="button"
            className="icon-button"
            aria-label={t('emoji')}
            title={t('emoji')}
            aria-haspopup="dialog"
            aria-expanded={picker !== null}
            onClick={(event) => setPicker(event.currentTarget)}
          >
            <Icon name="smile" />
          </button>
        </div>
        {empty && canRecord ? (
          <button type="button" className="round primary" aria-label={t('record')} title={t('record')} onClick={() => setRecording(true)}>
            <Icon name="mic" />
          </button>
        ) : (
          <button type="submit" className="round primary" aria-label={t(mode.kind === 'edit' ? 'save' : 'send')} title={t(mode.kind === 'edit' ? 'save' : 'send')} disabled={!complete}>
            <Icon name={mode.kind === 'edit' ? 'check' : 'send'} />
          </button>
        )}
      </div>
      {picker && (
        <EmojiPicker
          anchor={picker}
          onClose={() => setPicker(null)}
          onPick={(emoji) => {
            setPicker(null);
            insert(emoji);
            field.current?.focus();
          }}
        />
      )}
    </form>
  );
}

function Uploads({ uploads, onDrop }: { uploads: readonly Upload[]; onDrop: (id: number) => void }) {
  const { t } = useText();
  if (uploads.length === 0) return null;
  return (
    <ul className="uploads">
      {uploads.map(({ id, name, progress, attachment, problem }) => (
        <li key={id}>
          <Icon name="file" />
          <bdi>{name}</bdi>
          {problem ? (
            <span className="bad" role="alert">
              {problem}
            </span>
          ) : attachment ? (
            <span className="good">
              <Icon name="check" label={t('uploaded')} />
            </span>
          ) : (
            <progress value={progress} aria-label={t('uploading', { name })} />
          )}
          <button type="button" className="icon-button" aria-label={`${t('remove')}: ${name}`} onClick={() => onDrop(id)}>
            <Icon name="close" />
          </button>
        </li>
      ))}
    </ul>
  );
}
