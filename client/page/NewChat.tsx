import { useEffect, useState, type FormEvent } from 'react';

import type { Person } from 'alviar-client';
import { useAuth, useChat } from 'alviar-client/react';
import { nameOf, problemText } from './chat';
import { useText } from './i18n';
import { Avatar } from './ui/Avatar';
import { Dialog } from './ui/form';
import { Icon } from './ui/icons';

/** One person is a direct conversation, several are a group. */
export function NewChat({ onClose }: { onClose: () => void }) {
  const { t } = useText();
  const { user } = useAuth();
  const chat = useChat();
  const [query, setQuery] = useState('');
  const [found, setFound] = useState<Person[] | null>(null);
  const [chosen, setChosen] = useState<Person[]>([]);
  const [title, setTitle] = useState('');
  const [problem, setProblem] = useState('');

  useEffect(() => {
    if (query.trim().length < 2) return setFound(null);
    const timer = setTimeout(() => {
      chat.searchPeople(query.trim()).then(
        (people) => setFound(people.filter(({ id }) => id !== user?.id)),
        (error: unknown) => setProblem(problemText(error, t)),
      );
    }, 200);
    return () => clearTimeout(timer);
  }, [query]);

  const toggle = (person: Person) =>
    setChosen((before) =>
      before.some(({ id }) => id === person.id) ? before.filter(({ id }) => id !== person.id) : [...before, person],
    );

  const start = async (event: FormEvent) => {
    event.preventDefault();
    if (chosen.length === 0) return;
    try {
      const made =
        chosen.length === 1 && !title
          ? await chat.openDirect(chosen[0]!.id)
          : await chat.createGroup(title || chosen.map((person) => nameOf(person, t)).join(', '), chosen.map(({ id }) => id));
      location.hash = `#/chat/${made.uuid}`;
      onClose();
    } catch (error) {
      setProblem(problemText(error, t));
    }
  };

  const shown = [...chosen, ...(found ?? []).filter(({ id }) => !chosen.some((person) => person.id === id))];
  return (
    <Dialog title={t('newChat')} onClose={onClose}>
    <form className="new-chat" aria-label={t('newChat')} onSubmit={start}>
      <div className="search-field">
        <Icon name="search" />
        <input autoFocus type="search" dir="auto" aria-label={t('findPeople')} placeholder={t('findPeople')} value={query} onInput={(event) => setQuery(event.currentTarget.value)} />
      </div>
      <ul className="choices" aria-live="polite">
        {shown.map((person) => (
          <li key={person.id}>
            <label className="choice">
              <Avatar name={nameOf(person, t)} id={person.id} small />
              <span dir="auto">
                {nameOf(person, t)} <small>{person.username}</small>
              </span>
              <input
                type="checkbox"
                checked={chosen.some(({ id }) => id === person.id)}
                onChange={() => toggle(person)}
              />
            </label>
          </li>
        ))}
        {found?.length === 0 && <li className="hint">{t('nobodyFound')}</li>}
        {!found && chosen.length === 0 && <li className="hint">{t('findPeopleAbout')}</li>}
      </ul>
      {chosen.length > 1 && (
        <div className="field">
          <label htmlFor="new-title">{t('groupTitle')}</label>
          <input id="new-title" maxLength={100} dir="auto" value={title} onInput={(event) => setTitle(event.currentTarget.value)} />
        </div>
      )}
      <p role="alert" className="bad" hidden={!problem}>
        {problem}
      </p>
      <div className="actions">
        <button type="submit" className="primary" disabled={chosen.length === 0}>
          {t('start')}
        </button>
        <button type="button" onClick={onClose}>
          {t('cancel')}
        </button>
      </div>
    </form>
    </Dialog>
  );
}
