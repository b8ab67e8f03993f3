import { useText, type Word } from './i18n';
import { Dialog } from './ui/form';

const KEYS: ReadonlyArray<[Word, string[]]> = [
  ['key_search', ['Ctrl', 'K']],
  ['key_next', ['Alt', '↓']],
  ['key_previous', ['Alt', '↑']],
  ['key_newChat', ['Alt', 'N']],
  ['key_send', ['Enter']],
  ['key_line', ['Shift', 'Enter']],
  ['key_editLast', ['↑']],
  ['key_walk', ['↑', '↓']],
  ['key_menu', ['Enter']],
  ['key_reply', ['R']],
  ['key_leave', ['Esc']],
  ['key_help', ['?']],
];

export function Shortcuts({ onClose }: { onClose: () => void }) {
  const { t } = useText();
  return (
    <Dialog title={t('shortcuts')} onClose={onClose}>
      <dl className="shortcuts">
        {KEYS.map(([word, keys]) => (
          <div key={word}>
            <dt>{t(word)}</dt>
            <dd dir="ltr">
              {keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dd>
          </div>
        ))}
      </dl>
      <div className="actions">
        <button type="button" onClick={onClose}>
          {t('close')}
        </button>
      </div>
    </Dialog>
  );
}
