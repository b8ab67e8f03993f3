/** How people, conversations and problems are named on this page. */
import { ApiError, NetworkError, type Conversation, type Person } from 'alviar-client';

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

/** What the server said, or that it could not be asked. */
export function problemText(error: unknown, t: Words): string {
  if (error instanceof ApiError) {
    return Object.values(error.errors).flat().map(({ message }) => message).join(' ') || error.message;
  }
  return error instanceof Error && !(error instanceof NetworkError || error instanceof TypeError) ? error.message : t('offline');
}
