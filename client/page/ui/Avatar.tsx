import { useText } from '../i18n';

const HUES = 8;

/** The first letters of the first and the last word: “Alice Martin” is AM. */
export function initialsOf(name: string): string {
  const words = name.split(/\s+/).filter((word) => /^[\p{L}\p{N}]/u.test(word));
  const letters = [words[0], words.length > 1 ? words[words.length - 1] : ''].map((word) => [...(word ?? '')][0] ?? '');
  return letters.join('').toLocaleUpperCase();
}

/** Initials on a colour that stays the same for the same person: by the id, not by the name. */
export function Avatar({ name, id, online = false, small = false }: { name: string; id: string | number; online?: boolean; small?: boolean }) {
  const { t } = useText();
  const hue = [...String(id)].reduce((sum, letter) => sum * 31 + letter.codePointAt(0)!, 7) % HUES;
  return (
    <span className={`avatar hue-${hue}${small ? ' small' : ''}`}>
      <span aria-hidden="true">{initialsOf(name)}</span>
      {online && <span className="dot" role="img" aria-label={t('online')} />}
    </span>
  );
}
