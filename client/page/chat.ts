/** How people, conversations and problems are named on this page. */
import { ApiError, NetworkError, type Conversation, type Message, type Person } from 'alviar-client';

import type { Word } from './i18n';

type Words = (word: Word) => string;

export function nameOf(person: Person | null, t: Words): string {
  if (!person) return t('deletedUser');
  return `${person.first_name} ${person.last_name}`.trim() || person.username;
}

export function others(conversation: Conversation, me: number | undefined) {
  return conversation.members.filter(({ user }) => user.id !== me);
}

export function titleOf(conversation: Conversation, me: number | undefined, t: Words): string {
  if (conversation.title) return conversation.title;
  const names = others(conversation, me).map(({ user }) => nameOf(user, t));
  return names.join(', ') || t('deletedUser');
}

/** What its colour is made of: the other person, or the group. */
export function identityOf(conversation: Conversation, me: number | undefined): string | number {
  return conversation.kind === 'direct' ? (others(conversation, me)[0]?.user.id ?? conversation.uuid) : conversation.uuid;
}

export function memberOf(conversation: Conversation, userId: number): Person | null {
  return conversation.members.find(({ user }) => user.id === userId)?.user ?? null;
}

export function isMuted({ muted_until }: Conversation): boolean {
  return muted_until !== null && Date.parse(muted_until) > Date.now();
}

/** Tells fifty buttons apart for somebody who hears them. */
export function excerptOf({ content, attachments }: Pick<Message, 'content' | 'attachments'>): string {
  const text = content || (attachments[0]?.name ?? '');
  return text.length > 60 ? `${[...text].slice(0, 60).join('')}…` : text;
}

/** What the server said, or that it could not be asked. */
export function problemText(error: unknown, t: Words): string {
  if (error instanceof ApiError) {
    return Object.values(error.errors).flat().map(({ message }) => message).join(' ') || error.message;
  }
  return error instanceof Error && !(error instanceof NetworkError || error instanceof TypeError) ? error.message : t('offline');
}

export function sizeOf(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB'];
  const step = bytes < 1 ? 0 : Math.min(3, Math.floor(Math.log10(bytes) / 3));
  return `${Number((bytes / 1000 ** step).toFixed(1))} ${units[step]}`;
}

/** `1:05` */
export function lengthOf(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}
