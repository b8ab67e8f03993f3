/** One long list of which only the rows around the view are in the document. */
import { useEffect, useLayoutEffect, useMemo, useReducer, useRef, type RefObject } from 'react';

/** A row that was never shown is taken to be this tall. */
const GUESS_PX = 56;
/** Rows this far outside the view are there already when one scrolls. */
const BEYOND_PX = 500;
const AT_END_PX = 40;
const MOST_ROUNDS = 12;

export interface Virtual {
  /** The rows to render, `start` included and `end` not, and the room that stands for the others. */
  start: number;
  end: number;
  above: number;
  below: number;
  atEnd: boolean;
  onScroll: () => void;
  toEnd: () => void;
  /** Puts this row in the middle of the view, or so many pixels below its upper edge. */
  toRow: (index: number, below?: number) => void;
}

/**
 * The rule that keeps the place, whatever comes above or below and whatever is measured later: somebody at the end stays
 * at the end; for everybody else the first row in view stays where it is.
 *
 * `ends`: the last row is the last there is; otherwise being at the end holds nobody there.
 *
 * The rows are the children of `list` that carry `data-index`; their margins are inside them.
 */
export function useVirtual(keys: readonly string[], box: RefObject<HTMLElement | null>, list: RefObject<HTMLElement | null>, fromEnd: boolean, ends = true): Virtual {
  const heights = useRef(new Map<string, number>());
  const place = useRef<{ key: string; offset: number } | null>(null);
  const atEnd = useRef(fromEnd);
  const rounds = useRef(0);
  const [version, changed] = useReducer((count: number, _: void) => count + 1, 0);

  const tops = useMemo(() => {
    const sums = new Float64Array(keys.length + 1);
    for (let index = 0; index < keys.length; index++) sums[index + 1] = sums[index]! + (heights.current.get(keys[index]!) ?? GUESS_PX);
    return sums;
  }, [keys, version]);
  const total = tops[keys.length]!;

  const scrolled = box.current?.scrollTop ?? 0;
  const room = box.current?.clientHeight || 800;
  const held = place.current ? keys.indexOf(place.current.key) : -1;
  const top = atEnd.current || keys.length === 0 ? Math.max(0, total - room) : held >= 0 ? tops[held]! - place.current!.offset : scrolled;
  const start = rowAt(tops, top - BEYOND_PX);
  const end = Math.min(keys.length, rowAt(tops, top + room + BEYOND_PX) + 1);

  const settle = () => {
    const element = box.current;
    const rows = list.current;
    if (!element || !rows) return;
    let other = false;
    for (const row of rows.querySelectorAll<HTMLElement>(':scope > [data-index]')) {
      const key = keys[Number(row.dataset.index)];
      if (key === undefined || heights.current.get(key) === row.offsetHeight) continue;
      heights.current.set(key, row.offsetHeight);
      other = true;
    }
    if (atEnd.current && ends) element.scrollTop = element.scrollHeight;
    else if (place.current) {
      const row = rows.querySelector<HTMLElement>(`:scope > [data-index="${keys.indexOf(place.current.key)}"]`);
      const wanted = row && Math.round(row.offsetTop - place.current.offset);
      if (wanted !== null && Math.abs(element.scrollTop - wanted) > 1) element.scrollTop = wanted;
    }
    // Everything fits, or the row that was wished for is among the last: nothing scrolled, and this is the end.
    if (ends && !atEnd.current && keys.length > 0 && element.scrollHeight - element.scrollTop - element.clientHeight < AT_END_PX) {
      atEnd.current = true;
      other = true;
    }
    // Heights that never come to rest would keep the page busy for ever.
    rounds.current = other ? rounds.current + 1 : 0;
    if (other && rounds.current < MOST_ROUNDS) changed();
  };
  const settled = useRef(settle);
  settled.current = settle;
  useLayoutEffect(settle);
  useEffect(() => {
    // Pictures that arrive, a keyboard that opens.
    const observer = new ResizeObserver(() => settled.current());
    observer.observe(box.current!);
    observer.observe(list.current!);
    return () => observer.disconnect();
  }, []);

  const hold = (index: number, offset: number) => {
    const key = keys[index];
    place.current = key === undefined ? null : { key, offset };
  };
  const onScroll = () => {
    const { scrollTop, clientHeight, scrollHeight } = box.current!;
    atEnd.current = ends && scrollHeight - scrollTop - clientHeight < AT_END_PX;
    // What stands in the document is where the row is; the sums are only where it will be.
    const row = [...list.current!.querySelectorAll<HTMLElement>(':scope > [data-index]')].find((one) => one.offsetTop + one.offsetHeight > scrollTop);
    if (row && row.offsetTop <= scrollTop + clientHeight) hold(Number(row.dataset.index), row.offsetTop - scrollTop);
    else {
      const index = rowAt(tops, scrollTop);
      hold(index, tops[index]! - scrollTop);
    }
    changed();
  };
  const toEnd = () => {
    atEnd.current = true;
    changed();
  };
  const toRow = (index: number, below?: number) => {
    atEnd.current = false;
    hold(index, below ?? Math.round((box.current!.clientHeight - (heights.current.get(keys[index]!) ?? GUESS_PX)) / 2));
    changed();
  };
  return { start, end, above: tops[start]!, below: total - tops[end]!, atEnd: atEnd.current, onScroll, toEnd, toRow };
}

/** The row at this height, by bisection. */
function rowAt(tops: Float64Array, height: number): number {
  let low = 0;
  for (let high = tops.length - 2; low < high; ) {
    const middle = (low + high + 1) >> 1;
    if (tops[middle]! <= height) low = middle;
    else high = middle - 1;
  }
  return Math.max(0, low);
}
