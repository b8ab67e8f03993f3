/** What one may do with a message: by the button, the right button, a long press, or Enter on the message. */
import type { TimelineMessage } from 'alviar-client';
import { useChat } from 'alviar-client/react';
import type { ComposerMode } from './Composer';
import { useText } from './i18n';
import { QUICK, usedEmoji } from './recentEmoji';
import { Icon } from './ui/icons';
import { Popover } from './ui/Popover';

interface MessageMenuProps {
  anchor: HTMLElement;
  /** Where the focus goes when it closes. */
  back: HTMLElement;
  message: TimelineMessage;
  mine: boolean;
  onMode: (mode: ComposerMode) => void;
  onClose: () => void;
  onOpen: (what: 'emoji' | 'report' | 'forward') => void;
}

export function MessageMenu({ anchor, back, message, mine, onMode, onClose, onOpen }: MessageMenuProps) {
  const { t } = useText();
  const chat = useChat();
  const act = (work: () => unknown) => () => {
    onClose();
    back.focus({ preventScroll: true });
    void Promise.resolve(work()).catch(() => {});
  };
  return (
    <Popover anchor={anchor} role="menu" label={t('actions')} className="menu" onClose={() => (back.focus({ preventScroll: true }), onClose())}>
      <div className="quick" role="group" aria-label={t('addReaction')}>
        {QUICK.map((emoji) => {
          const own = message.reactions.some((reaction) => reaction.emoji === emoji && reaction.mine);
          return (
            <button
              type="button"
              role="menuitemcheckbox"
              key={emoji}
              aria-label={t('react', { emoji })}
              aria-checked={own ?? false}
              onClick={act(() => (usedEmoji(emoji), chat.react(message.uuid, emoji, own)))}
            >
              {emoji}
            </button>
          );
        })}
        <button type="button" role="menuitem" aria-label={t('moreEmoji')} onClick={() => onOpen('emoji')}>
          <Icon name="plus" />
        </button>
      </div>
      <button type="button" role="menuitem" onClick={act(() => onMode({ kind: 'reply', message }))}>
        <Icon name="reply" /> {t('reply')}
      </button>
      {mine && (
        <button type="button" role="menuitem" onClick={act(() => onMode({ kind: 'edit', message }))}>
          <Icon name="edit" /> {t('edit')}
        </button>
      )}
      {message.content && (
        <button type="button" role="menuitem" onClick={act(() => navigator.clipboard?.writeText(message.content))}>
          <Icon name="copy" /> {t('copy')}
        </button>
      )}
      <button type="button" role="menuitem" onClick={() => onOpen('forward')}>
        <Icon name="forward" /> {t('forward')}
      </button>
      {!mine && (
        <button type="button" role="menuitem" onClick={() => onOpen('report')}>
          <Icon name="flag" /> {t('report')}
        </button>
      )}
      {mine && (
        <button type="button" role="menuitem" className="bad" onClick={act(() => chat.remove(message.uuid))}>
          <Icon name="trash" /> {t('delete')}
        </button>
      )}
    </Popover>
  );
}
