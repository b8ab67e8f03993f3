import { RECENT } from './forget';

/** One tap away in every message's menu. */
export const QUICK = ['👍', '❤️', '😂', '😮', '😢', '🙏'];

export function recentEmoji(): string[] {
  return (localStorage.getItem(RECENT) ?? '').split(' ').filter(Boolean);
}

export function usedEmoji(emoji: string): void {
  localStorage.setItem(RECENT, [emoji, ...recentEmoji().filter((one) => one !== emoji)].slice(0, 16).join(' '));
}
