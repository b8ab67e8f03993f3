/** The words of the page in the language that was chosen, and the numbers and dates beside them. */
import { createContext, useContext, useEffect, useMemo, useState, type ReactNode } from 'react';

import { useAuth } from 'alviar-client/react';
import { en, type Word } from './words/en';
import { ofBrowser } from './stored';

export type { Word } from './words/en';

export type Language = 'en' | 'fr' | 'ar';
type Words = Record<Word, string>;

export const LANGUAGES: ReadonlyArray<[Language, string]> = [
  ['en', 'English'],
  ['fr', 'Français'],
  ['ar', 'العربية'],
];

/** English is in the bundle; the others are read when they are wanted. */
const READ: Record<Language, () => Promise<Words>> = {
  en: async () => en,
  fr: () => import('./words/fr').then(({ fr }) => fr),
  ar: () => import('./words/ar').then(({ ar }) => ar),
};

interface Translation {
  language: Language;
  setLanguage: (language: Language) => void;
  /** The text, with `{name}` filled in. */
  t: (word: Word, values?: Record<string, string | number>) => string;
  has: (word: string) => word is Word;
  time: (iso: string) => string;
  /** As short as a list needs it: “14:05”, “Mon”, “3 Mar”. */
  shortTime: (iso: string) => string;
  /** Hours and minutes alone. */
  clock: (iso: string) => string;
  /** “5 minutes ago”, “yesterday”. */
  ago: (iso: string) => string;
  /** “today”, “yesterday”, “Monday 3 March 2025”. */
  day: (iso: string) => string;
  list: (names: string[]) => string;
  /** “30 seconds”, “5 minutes”. */
  span: (seconds: number) => string;
}

const LanguageContext = createContext<Translation | null>(null);

function firstLanguage(): Language {
  const wanted = ofBrowser.getItem('language') ?? document.documentElement.lang;
  return LANGUAGES.find(([code]) => code === wanted)?.[0] ?? 'en';
}

/** What `LanguageProvider` begins with: nothing is shown in another language first. */
export async function firstWords(): Promise<[Language, Words]> {
  const language = firstLanguage();
  document.documentElement.lang = language;
  document.documentElement.dir = language === 'ar' ? 'rtl' : 'ltr';
  return READ[language]().then(
    (words) => [language, words],
    () => ['en', en],
  );
}

export function LanguageProvider({ first, children }: { first: [Language, Words]; children: ReactNode }) {
  const { client } = useAuth();
  const [[language, words], setChosen] = useState(first);
  // The server's texts (errors, mails to come) are in the same language.
  client.language = language;

  useEffect(() => {
    document.documentElement.lang = language;
    document.documentElement.dir = language === 'ar' ? 'rtl' : 'ltr';
    ofBrowser.setItem('language', language);
  }, [language]);

  const value = useMemo(
    () => translation(language, words, (wanted) => void READ[wanted]().then((read) => setChosen([wanted, read]), () => {})),
    [language, words],
  );
  return <LanguageContext.Provider value={value}>{children}</LanguageContext.Provider>;
}

export function useText(): Translation {
  return useContext(LanguageContext)!;
}

const STEPS: ReadonlyArray<[Intl.RelativeTimeFormatUnit, number]> = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
];

/** Calendar days from today; -1 is yesterday. */
function daysFromToday(at: Date): number {
  const midnight = (date: Date) => new Date(date).setHours(0, 0, 0, 0);
  return Math.round((midnight(at) - midnight(new Date())) / 86_400_000);
}

function translation(language: Language, words: Words, setLanguage: (language: Language) => void): Translation {
  // Arabic as written where the server's default time zone lies: with European digits.
  const locale = language === 'ar' ? 'ar-DZ' : language;
  const format = (options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat(locale, options);
  const clock = format({ hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
  const date = format({ day: 'numeric', month: 'short' });
  const weekday = format({ weekday: 'short' });
  const wholeDay = format({ weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });
  const relative = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' });
  return {
    language,
    setLanguage,
    t: (word, values = {}) => words[word].replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? '')),
    has: (word): word is Word => word in words,
    time(iso) {
      const at = new Date(iso);
      return daysFromToday(at) === 0 ? clock.format(at) : `${date.format(at)} ${clock.format(at)}`;
    },
    shortTime(iso) {
      const at = new Date(iso);
      const days = daysFromToday(at);
      return (days === 0 ? clock : days > -7 ? weekday : date).format(at);
    },
    clock: (iso) => clock.format(new Date(iso)),
    ago(iso) {
      const seconds = (Date.parse(iso) - Date.now()) / 1000;
      const [unit, size] = STEPS.find(([, length]) => Math.abs(seconds) >= length) ?? ['second', 1];
      return unit === 'second' ? relative.format(0, 'minute') : relative.format(Math.round(seconds / size), unit);
    },
    day(iso) {
      const at = new Date(iso);
      const days = daysFromToday(at);
      return days === 0 || days === -1 ? relative.format(days, 'day') : wholeDay.format(at);
    },
    list: (names) => names.join(words.and),
    span(seconds) {
      const [unit, size] = STEPS.find(([, length]) => seconds >= length && seconds % length === 0) ?? ['second', 1];
      return new Intl.NumberFormat(locale, { style: 'unit', unit, unitDisplay: 'long' }).format(seconds / size);
    },
  };
}
