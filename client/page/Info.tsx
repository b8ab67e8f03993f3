/** Beside a conversation: who is in it, what was shared, and what one may do with it. */
import { useEffect, useRef, useState } from 'react';

import type { Conversation, Member, Page, Person, Role } from 'alviar-client';
import { useAuth, useChat } from 'alviar-client/react';
import { identityOf, isMuted, nameOf, others, titleOf } from './chat';
import { useText } from './i18n';
import { usePeople } from './people';
import { SharedMedia } from './SharedMedia';
import { Avatar } from './ui/Avatar';
import { Field, Form, useWork } from './ui/form';
import { Icon, type IconName } from './ui/icons';

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
  const [renaming, setRenaming] = useState(false);
  const panel = useRef<HTMLElement>(null);
  const { uuid, my_role } = conversation;
  const path = `/api/chat/conversations/${uuid}/`;
  const group = conversation.kind === 'group';
  const governs = group && RANK[my_role] > 0;
  const muted = isMuted(conversation);
  const partner = group ? undefined : others(conversation, user?.id)[0]?.user;
  const title = titleOf(conversation, user?.id, t);

  useEffect(() => panel.current?.querySelector('button')?.focus(), []);

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
    <aside className="info" ref={panel} aria-label={t('info')} onKeyDown={(event) => event.key === 'Escape' && !document.querySelector('dialog[open]') && onClose()}>
      <div className="info-head">
        <h1>{t('info')}</h1>
        <button type="button" className="icon-button" aria-label={t('close')} onClick={onClose}>
          <Icon name="close" />
        </button>
      </div>
      <div className="info-who">
        <Avatar name={title} id={identityOf(conversation, user?.id)} />
        <h2 dir="auto">{title}</h2>
        <small>{partner ? `@${partner.username}` : t('members', { n: conversation.members_count })}</small>
        {governs && !renaming && (
          <button type="button" className="link" onClick={() => setRenaming(true)}>
            {t('rename')}
          </button>
        )}
      </div>
      {governs && renaming && (
        <Form
          key={conversation.title}
          submit={t('rename')}
          keep
          work={async ({ title: wanted }) => {
            await client.api('PATCH', path, { title: wanted });
            await chat.reloadConversation(uuid);
            setRenaming(false);
          }}
          more={
            <button type="button" onClick={() => setRenaming(false)}>
              {t('cancel')}
            </button>
          }
        >
          <Field name="title" label={t('groupTitle')} value={conversation.title} maxLength={100} />
        </Form>
      )}
      {outcome}
      <div className="info-actions">
        <Action icon="pin" label={t(conversation.pinned ? 'unpin' : 'pin')} on={conversation.pinned} busy={busy} act={() => void change({ pinned: !conversation.pinned })} />
        {muted ? (
          <Action icon="bell" label={t('unmute')} on busy={busy} act={() => void change({ muted_until: null })} />
        ) : (
          <Action icon="mute" label={t('mute')} busy={busy} act={() => void change({ muted_until: FOR_GOOD })} />
        )}
        <Action
          icon="archive"
          label={t(conversation.archived ? 'unarchive' : 'archive')}
          on={conversation.archived}
          busy={busy}
          act={() => void change({ archived: !conversation.archived })}
        />
      </div>
      {!muted && (
        <button
          type="button"
          className="menu-item"
          disabled={busy}
          onClick={() => void change({ muted_until: new Date(Date.now() + EIGHT_HOURS_MS).toISOString() })}
        >
          <Icon name="clock" /> {t('muteHours')}
        </button>
      )}
      {muted && conversation.muted_until! < FOR_GOOD && <p className="hint">{t('mutedUntil', { when: time(conversation.muted_until!) })}</p>}
      {governs && <SlowMode seconds={conversation.slow_mode_seconds ?? 0} busy={busy} change={(seconds) => void change({ slow_mode_seconds: seconds }, path)} />}
      <SharedMedia conversation={conversation} />
      {group && <Members conversation={conversation} />}
      <section className="info-end">
        {partner && <Block person={partner} />}
        {group && !sure && (
          <button type="button" className="menu-item bad" onClick={() => setSure(true)}>
            <Icon name="leave" /> {t('leave')}
          </button>
        )}
        {sure && (
          <>
            <p>{t('leaveSure')}</p>
            <div className="actions">
              <button type="button" className="bad" disabled={busy} onClick={() => void leave()}>
                {t('leave')}
              </button>
              <button type="button" onClick={() => setSure(false)}>
                {t('cancel')}
              </button>
            </div>
          </>
        )}
      </section>
    </aside>
  );
}

const PACES = [0, 10, 30, 60, 300, 900, 3600];

function SlowMode({ seconds, busy, change }: { seconds: number; busy: boolean; change: (seconds: number) => void }) {
  const { t, span } = useText();
  const paces = PACES.includes(seconds) ? PACES : [...PACES, seconds].sort((one, other) => one - other);
  return (
    <label className="choice-line">
      <span>
        {t('slowMode')}
        <small className="hint">{t('slowHint')}</small>
      </span>
      <select value={seconds} disabled={busy} onChange={(event) => change(Number(event.currentTarget.value))}>
        {paces.map((pace) => (
          <option key={pace} value={pace}>
            {pace ? span(pace) : t('slowOff')}
          </option>
        ))}
      </select>
    </label>
  );
}

function Action(props: { icon: IconName; label: string; on?: boolean; busy: boolean; act: () => void }) {
  return (
    <button type="button" className="info-action" aria-disabled={props.busy} data-on={props.on ?? false} onClick={() => !props.busy && props.act()}>
      <Icon name={props.icon} />
      <span>{props.label}</span>
    </button>
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
      <button type="button" className="menu-item bad" disabled={busy || blocked === null} onClick={() => void change()}>
        <Icon name="block" /> {t(blocked ? 'unblock' : 'block')}
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
          <div className="search-field">
            <Icon name="plus" />
            <input type="search" dir="auto" aria-label={t('addPeople')} placeholder={t('addPeople')} value={adding} onInput={(event) => setAdding(event.currentTarget.value)} />
          </div>
          <ul aria-live="polite">
            {found
              ?.filter(({ id }) => !inside.has(id))
              .map((person) => (
                <li key={person.id} className="member">
                  <Avatar name={nameOf(person, t)} id={person.id} small />
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
              <Avatar name={name} id={person.id} online={online ?? false} small />
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
                  className="icon-button bad"
                  disabled={busy}
                  aria-label={t('removeWho', { who: name })}
                  onClick={() => void change('DELETE', `${path}${person.id}/`)}
                >
                  <Icon name="close" />
                </button>
              )}
            </li>
          );
        })}
      </ul>
    </section>
  );
}
