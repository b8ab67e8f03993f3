import { RECENT } from './forget';
import { ofBrowser } from './stored';

/** One tap away in every message's menu. */
export const QUICK = ['👍', '❤️', '😂', '😮', '😢', '🙏'];

export function recentEmoji(): string[] {
  return (ofBrowser.getItem(RECENT) ?? '').split(' ').filter(Boolean);
}

export function usedEmoji(emoji: string): void {
  ofBrowser.setItem(RECENT, [emoji, ...recentEmoji().filter((one) => one !== emoji)].slice(0, 16).join(' '));
}
