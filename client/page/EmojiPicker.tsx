import { useState } from 'react';

import { findEmoji, GROUPS } from './emoji';
import { useText, type Word } from './i18n';
import { recentEmoji, usedEmoji } from './recentEmoji';
import { Popover, rove } from './ui/Popover';

export function EmojiPicker(props: { anchor: HTMLElement; onPick: (emoji: string) => void; onClose: () => void }) {
  const { t } = useText();
  const [query, setQuery] = useState('');
  const [recent] = useState(recentEmoji);
  const pick = (emoji: string) => {
    usedEmoji(emoji);
    props.onPick(emoji);
  };
  const sections: Array<[string, readonly string[]]> = query.trim()
    ? [[t('emoji'), findEmoji(query).map(({ emoji }) => emoji)]]
    : [
        ...(recent.length > 0 ? ([[t('emoji_recent'), recent]] as Array<[string, string[]]>) : []),
        ...GROUPS.map(({ name, emoji }): [string, string[]] => [t(`emoji_${name}` as Word), emoji.map((one) => one.emoji)]),
      ];
  return (
    <Popover anchor={props.anchor} role="dialog" label={t('emoji')} className="emoji-picker" onClose={props.onClose}>
      <input
        type="search"
        data-first
        dir="auto"
        aria-label={t('findEmoji')}
        placeholder={t('findEmoji')}
        value={query}
        onInput={(event) => setQuery(event.currentTarget.value)}
        onKeyDown={(event) => {
          const first = event.currentTarget.parentElement!.querySelector<HTMLElement>('.emoji-grid button');
          if (event.key === 'Enter') first?.click();
          else if (event.key === 'ArrowDown') first?.focus();
          else return;
          event.preventDefault();
        }}
      />
      <div className="emoji-groups" tabIndex={-1} onKeyDown={rove}>
        {sections.map(([name, emoji]) => (
          <section key={name} aria-label={name}>
            <h2>{name}</h2>
            {emoji.length === 0 && <p className="hint" role="status">{t('nothingFound')}</p>}
            <div className="emoji-grid">
              {emoji.map((one, index) => (
                <button type="button" key={one} tabIndex={index === 0 ? 0 : -1} onClick={() => pick(one)}>
                  {one}
                </button>
              ))}
            </div>
          </section>
        ))}
      </div>
    </Popover>
  );
}
