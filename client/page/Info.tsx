/** Beside a conversation: who is in it, and what one may do with it. */
import { useEffect, useState } from 'react';

import type { Conversation, Member, Page, Person, Role } from 'alviar-client';
import { useAuth, useChat } from 'alviar-client/react';
import { nameOf, others, titleOf } from './chat';
import { Avatar } from './ConversationList';
import { Field, fieldsOf, useWork } from './form';
import { useText } from './i18n';
import { usePeople } from './people';

const RANK: Record<Role, number> = { owner: 2, admin: 1, member: 0 };
const EIGHT_HOURS_MS = 8 * 3_600_000;
/** Muted until it is turned off. */
const FOR_GOOD = '9999-01-01T00:00:00Z';

export function Info({ conversation, onClose }: { conversation: Conversation; onClose: () => void }) {
  const { t, time } = useText();
  const { client, user } = useAuth();
  const chat = useChat();
  const { busy, run, outcome } = useWork();
  const [sure, setSure] = useState(false);
  const { uuid, my_role } = conversation;
  const path = `/api/chat/conversations/${uuid}/`;
  const group = conversation.kind === 'group';
  const governs = group && RANK[my_role] > 0;
  const muted = conversation.muted_until !== null && Date.parse(conversation.muted_until) > Date.now();
  const partner = group ? undefined : others(conversation, user?.id)[0]?.user;

  const change = (body: object, to = `${path}settings/`) =>
    run(async () => {
      await client.api('PATCH', to, body);
      await chat.reloadConversation(uuid);
    });
  const leave = () =>
    run(async () => {
      await chat.leave(uuid);
      location.hash = '#/chat';
    });

  return (
    <aside className="info" aria-label={t('info')} onKeyDown={(event) => event.key === 'Escape' && onClose()}>
      <div className="list-head">
        <h2>{t('info')}</h2>
        <button type="button" className="quiet" aria-label={t('close')} onClick={onClose}>
          ✕
        </button>
      </div>
      <h3 dir="auto">{titleOf(conversation, user?.id, t)}</h3>
      {partner && <p className="hint">{partner.username}</p>}
      {governs && (
        <form
          key={conversation.title}
          onSubmit={(event) => {
            event.preventDefault();
            void change({ title: fieldsOf(event).title }, path);
          }}
        >
          <Field name="title" label={t('groupTitle')} value={conversation.title} maxLength={100} />
          <button type="submit" disabled={busy}>
            {t('rename')}
          </button>
        </form>
      )}
      {outcome}
      <div className="actions">
        <button type="button" disabled={busy} aria-pressed={conversation.pinned} onClick={() => void change({ pinned: !conversation.pinned })}>
          {t(conversation.pinned ? 'unpin' : 'pin')}
        </button>
        <button type="button" disabled={busy} aria-pressed={conversation.archived} onClick={() => void change({ archived: !conversation.archived })}>
          {t(conversation.archived ? 'unarchive' : 'archive')}
        </button>
        {muted ? (
          <button type="button" disabled={busy} onClick={() => void change({ muted_until: null })}>
            {t('unmute')}
          </button>
        ) : (
          <>
            <button
              type="button"
              disabled={busy}
              onClick={() => void change({ muted_until: new Date(Date.now() + EIGHT_HOURS_MS).toISOString() })}
            >
              {t('muteHours')}
            </button>
            <button type="button" disabled={busy} onClick={() => void change({ muted_until: FOR_GOOD })}>
              {t('mute')}
            </button>
          </>
        )}
        {partner && <Block person={partner} />}
        {group && !sure && (
          <button type="button" className="bad" onClick={() => setSure(true)}>
            {t('leave')}
          </button>
        )}
        {sure && (
          <>
            <span>{t('leaveSure')}</span>
            <button type="button" className="bad" disabled={busy} onClick={() => void leave()}>
              {t('leave')}
            </button>
            <button type="button" onClick={() => setSure(false)}>
              {t('cancel')}
            </button>
          </>
        )}
      </div>
      {muted && conversation.muted_until! < FOR_GOOD && <p className="hint">{t('mutedUntil', { when: time(conversation.muted_until!) })}</p>}
      {group && <Members conversation={conversation} />}
    </aside>
  );
}

function Block({ person }: { person: Person }) {
  const { t } = useText();
  const { client } = useAuth();
  const { busy, run, outcome } = useWork();
  const [blocked, setBlocked] = useState<boolean | null>(null);
  useEffect(() => {
    void run(async () => {
      let next: string | null = '/api/chat/blocks/?limit=100';
      let found = false;
      while (next && !found) {
        const page: Page<{ user: Person }> = await client.api('GET', next);
        found = page.results.some(({ user }) => user.id === person.id);
        next = page.next;
      }
      setBlocked(found);
    });
  }, [person.id]);
  const change = () =>
    run(async () => {
      if (blocked) await client.api('DELETE', `/api/chat/blocks/${person.id}/`);
      else await client.api('POST', '/api/chat/blocks/', { user_id: person.id });
      setBlocked(!blocked);
    });
  return (
    <>
      <button type="button" className="bad" disabled={busy || blocked === null} onClick={() => void change()}>
        {t(blocked ? 'unblock' : 'block')}
      </button>
      {outcome}
    </>
  );
}

function Members({ conversation }: { conversation: Conversation }) {
  const { t } = useText();
  const { client, user } = useAuth();
  const { busy, run, outcome } = useWork();
  const [members, setMembers] = useState<Member[]>([]);
  const [adding, setAdding] = useState('');
  const found = usePeople(adding);
  const { uuid, my_role, members_count } = conversation;
  const path = `/api/chat/conversations/${uuid}/members/`;
  const governs = RANK[my_role] > 0;

  const load = async () => {
    const all: Member[] = [];
    let next: string | null = `${path}?limit=100`;
    while (next) {
      const page: Page<Member> = await client.api('GET', next);
      all.push(...page.results);
      next = page.next;
    }
    setMembers(all);
  };
  // The row is another object after each change of members or roles.
  useEffect(() => void run(load), [uuid, members_count, conversation.members]);
  const change = (method: string, address: string, body?: object) => run(() => client.api(method, address, body).then(load));

  const inside = new Set(members.map((member) => member.user.id));
  return (
    <section aria-label={t('members', { n: members_count })}>
      <h3>{t('members', { n: members_count })}</h3>
      {governs && (
        <>
          <label className="field">
            <span>{t('addPeople')}</span>
            <input type="search" dir="auto" value={adding} onInput={(event) => setAdding(event.currentTarget.value)} />
          </label>
          <ul aria-live="polite">
            {found
              ?.filter(({ id }) => !inside.has(id))
              .map((person) => (
                <li key={person.id} className="member">
                  <span dir="auto">{nameOf(person, t)}</span>
                  <button
                    type="button"
                    disabled={busy}
                    aria-label={t('addWho', { who: nameOf(person, t) })}
                    onClick={() => void change('POST', path, { user_ids: [person.id] }).then(() => setAdding(''))}
                  >
                    {t('add')}
                  </button>
                </li>
              ))}
          </ul>
        </>
      )}
      {outcome}
      <ul>
        {members.map(({ user: person, role, online }) => {
          const name = nameOf(person, t);
          const below = person.id !== user?.id && RANK[role] < RANK[my_role];
          return (
            <li key={person.id} className="member">
              <Avatar name={name} online={online ?? false} />
              <span dir="auto">
                {name} {person.id === user?.id && <small>({t('you')})</small>}{' '}
                {!(my_role === 'owner' && below) && role !== 'member' && <small className="tag">{t(`role_${role}`)}</small>}
              </span>
              {my_role === 'owner' && below && (
                <select
                  aria-label={t('roleOf', { who: name })}
                  value={role}
                  disabled={busy}
                  onChange={(event) => void change('PATCH', `${path}${person.id}/`, { role: event.currentTarget.value })}
                >
                  {(['member', 'admin', 'owner'] as const).map((each) => (
                    <option key={each} value={each}>
                      {t(`role_${each}`)}
                    </option>
                  ))}
                </select>
              )}
              {below && governs && (
                <button
                  type="button"
                  className="quiet bad"
                  disabled={busy}
                  aria-label={t('removeWho', { who: name })}
                  onClick={() => void change('DELETE', `${path}${person.id}/`)}
                >
                  ✕
                </button>
              )}
            </li>
          );
        })}
      </ul>
    </section>
  );
}
