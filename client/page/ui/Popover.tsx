/** What opens over the page at a button: above everything, closed by Escape and by a click elsewhere (the browser's own). */
import { useEffect, useLayoutEffect, useRef, type KeyboardEvent, type ReactNode } from 'react';

const GAP_PX = 6;

interface PopoverProps {
  /** What it belongs to: it opens beside this, and gives the focus back to it. */
  anchor: HTMLElement;
  label: string;
  role: 'menu' | 'dialog';
  className?: string;
  onClose: () => void;
  children: ReactNode;
}

export function Popover({ anchor, label, role, className = '', onClose, children }: PopoverProps) {
  const element = useRef<HTMLDivElement>(null);
  const closed = useRef(onClose);
  closed.current = onClose;

  useEffect(() => {
    const box = element.current!;
    const toggled = (event: Event) => {
      if ((event as ToggleEvent).newState !== 'closed') return;
      // Where the focus went elsewhere by a click it stays there.
      if (box.contains(document.activeElement) || document.activeElement === document.body) anchor.focus();
      closed.current();
    };
    box.addEventListener('toggle', toggled);
    return () => box.removeEventListener('toggle', toggled);
  }, [anchor]);

  useLayoutEffect(() => {
    const box = element.current!;
    box.showPopover();
    const place = () => {
      const at = anchor.getBoundingClientRect();
      const { offsetWidth: width, offsetHeight: height } = box;
      const rtl = getComputedStyle(box).direction === 'rtl';
      const beside = at.left + at.width / 2 < innerWidth / 2 ? at.left : at.right - width;
      const above = at.bottom + GAP_PX + height > innerHeight && at.top - GAP_PX - height > 0;
      const clamp = (value: number, most: number) => Math.max(GAP_PX, Math.min(value, most - GAP_PX));
      box.style.left = `${clamp(rtl && at.width > width ? at.right - width : beside, innerWidth - width)}px`;
      box.style.top = `${clamp(above ? at.top - GAP_PX - height : at.bottom + GAP_PX, innerHeight - height)}px`;
    };
    place();
    const observer = new ResizeObserver(place);
    observer.observe(box);
    (box.querySelector<HTMLElement>('[data-first]') ?? box.querySelector<HTMLElement>('button, input'))?.focus();
    return () => observer.disconnect();
  }, [anchor]);

  return (
    <div ref={element} popover="auto" role={role} aria-label={label} className={`popover ${className}`} onKeyDown={role === 'menu' ? rove : undefined}>
      {children}
    </div>
  );
}

/** The arrows move between what can be pressed: by rows and columns as they stand on the screen. */
export function rove(event: KeyboardEvent<HTMLElement>): void {
  const { key, currentTarget } = event;
  if (!['ArrowUp', 'ArrowDown', 'ArrowLeft', 'ArrowRight', 'Home', 'End'].includes(key)) return;
  const all = [...currentTarget.querySelectorAll<HTMLElement>('button:not(:disabled), a[href], select')].filter((one) => one.checkVisibility());
  const here = all.indexOf(document.activeElement as HTMLElement);
  if (here < 0 || document.activeElement instanceof HTMLSelectElement) return;
  event.preventDefault();
  if (key === 'Home') return all[0]?.focus();
  if (key === 'End') return all[all.length - 1]?.focus();
  const from = all[here]!.getBoundingClientRect();
  const vertical = key === 'ArrowUp' || key === 'ArrowDown';
  const sign = key === 'ArrowUp' || key === 'ArrowLeft' ? -1 : 1;
  const centre = ({ left, width, top, height }: DOMRect) => ({ x: left + width / 2, y: top + height / 2 });
  const start = centre(from);
  let best: HTMLElement | undefined;
  let least = Infinity;
  for (const one of all) {
    const to = centre(one.getBoundingClientRect());
    const [along, across] = vertical ? [to.y - start.y, to.x - start.x] : [to.x - start.x, to.y - start.y];
    if (along * sign < 4) continue;
    const distance = Math.abs(along) * (vertical ? 3 : 1) + Math.abs(across) * (vertical ? 1 : 3);
    if (distance < least) [best, least] = [one, distance];
  }
  // Past the last one it begins again.
  (best ?? (vertical ? all[sign > 0 ? 0 : all.length - 1] : undefined))?.focus();
}
