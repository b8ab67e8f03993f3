import { useEffect, useRef } from 'react';

/** One listener for the whole page; what needs a place in it is found by its mark. */
export function useShortcuts(onHelp: () => void): void {
  const help = useRef(onHelp);
  help.current = onHelp;
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const { key, altKey, ctrlKey, metaKey, target } = event;
      if (document.querySelector('dialog[open]')) return;
      const typing = target instanceof Element && target.matches('input, textarea, select');
      const done =
        ((ctrlKey || metaKey) && key.toLowerCase() === 'k' && focusOn('[data-key="search"]')) ||
        (altKey && (key === 'ArrowDown' || key === 'ArrowUp') && otherChat(key === 'ArrowDown' ? 1 : -1)) ||
        (altKey && event.code === 'KeyN' && press('[data-key="new"]')) ||
        (key === '?' && !typing && (help.current(), true)) ||
        (key === '/' && !typing && focusOn('[data-key="search"]'));
      if (done) event.preventDefault();
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, []);
}

function focusOn(selector: string): boolean {
  const element = document.querySelector<HTMLInputElement>(selector);
  element?.focus();
  element?.select();
  return element !== null;
}

function press(selector: string): boolean {
  const element = document.querySelector<HTMLElement>(selector);
  element?.click();
  return element !== null;
}

function otherChat(step: number): boolean {
  const rows = [...document.querySelectorAll<HTMLAnchorElement>('.list a.row')];
  const here = rows.findIndex((row) => row.hasAttribute('aria-current'));
  const next = rows[here < 0 ? 0 : here + step];
  if (next) location.hash = next.hash;
  next?.scrollIntoView({ block: 'nearest' });
  return rows.length > 0;
}
