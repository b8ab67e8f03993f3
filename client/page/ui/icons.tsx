/** The page's icons: one grid of 24, one stroke, drawn for it. `currentColor` and `1.25em` fit them to any text. */

const PATHS = {
  archive: 'M4 8v10a2 2 0 0 0 2 2h12a2 2 0 0 0 2-2V8M3 4h18v4H3zM10 12h4',
  attach: 'M20 11.5 12.3 19a5 5 0 0 1-7-7l8-8a3.3 3.3 0 0 1 4.7 4.7l-8 8a1.6 1.6 0 0 1-2.3-2.3l7-7',
  back: 'M15 5l-7 7 7 7',
  bell: 'M6 17V11a6 6 0 0 1 12 0v6l1.5 1.5h-15zM10 21.5h4',
  block: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM5.7 5.7l12.6 12.6',
  chats: 'M4 5h16v11H10l-4.5 4v-4H4zM8 9.5h8M8 12.5h5',
  check: 'M5 12.5l4.5 4.5L19 7',
  checks: 'M2 12.5l4.5 4.5L16 7M12 16.5l.5.5L22 7',
  clock: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7v5l3.5 2',
  close: 'M6 6l12 12M18 6L6 18',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  device: 'M7 3h10a1 1 0 0 1 1 1v16a1 1 0 0 1-1 1H7a1 1 0 0 1-1-1V4a1 1 0 0 1 1-1zM11 18h2',
  down: 'M12 5v13M6 12.5l6 6 6-6',
  download: 'M12 4v11M7 10.5l5 5 5-5M4 20h16',
  edit: 'M4 20h4L19.5 8.5l-4-4L4 16zM13 7l4 4',
  file: 'M6 3h8l5 5v13H6zM14 3v5h5',
  flag: 'M5 21V4h13l-2.5 4.5L18 13H5',
  forward: 'M14 5l6 6-6 6M20 11H9a5 5 0 0 0-5 5v3',
  globe: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM3 12h18M12 3c5 5 5 13 0 18M12 3c-5 5-5 13 0 18',
  group: 'M9 5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7zM2.5 20a6.5 6.5 0 0 1 13 0M16 5.5a3.2 3.2 0 0 1 0 6M18 14.5a6 6 0 0 1 3.5 5.5',
  image: 'M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9v.1',
  info: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 11v5.5M12 7.5v.2',
  key: 'M15.5 3a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM11.5 12.5L3 21M6 18l2.5 2.5M16.5 7.5v.2',
  leave: 'M10 4H5v16h5M15 8l4 4-4 4M19 12H9',
  lock: 'M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3',
  mail: 'M3.5 5.5h17v13h-17zM4 6.5l8 6.5 8-6.5',
  mic: 'M12 3a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3zM5.5 11a6.5 6.5 0 0 0 13 0M12 17.5V21',
  more: 'M12 5.5v.1M12 12v.1M12 18.5v.1',
  mute: 'M6 17v-6c0-1 .2-2 .7-2.8M9 5.8A6 6 0 0 1 18 11v3M4.5 18.5L6 17h11M10 21.5h4M3 3l18 18',
  next: 'M9 5l7 7-7 7',
  pause: 'M8 5v14M16 5v14',
  pin: 'M9 3h6l-1 6 4 4H6l4-4zM12 13v8',
  play: 'M7 4.5v15L19.5 12z',
  plus: 'M12 5v14M5 12h14',
  power: 'M12 3v9M6.5 6.5a8 8 0 1 0 11 0',
  reply: 'M10 5l-6 6 6 6M4 11h11a5 5 0 0 1 5 5v3',
  search: 'M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5L20.5 20.5',
  send: 'M4 12L3.5 4.5 21 12 3.5 19.5zM4 12h8',
  settings:
    'M12 8.8a3.2 3.2 0 1 0 0 6.4 3.2 3.2 0 0 0 0-6.4zM12 2.5l1 3 2.7 1.1 2.9-1.4 1.7 1.7-1.4 2.9 1.1 2.7 3 1-3 1-1.1 2.7 1.4 2.9-1.7 1.7-2.9-1.4L13 18.5l-1 3-1-3-2.7-1.1-2.9 1.4-1.7-1.7 1.4-2.9L4 12.5l-2-.5 3-1 1.1-2.7-1.4-2.9 1.7-1.7 2.9 1.4L11 5.5z',
  shield: 'M12 3l7.5 2.5V11c0 5-3 8.5-7.5 10.5C7.5 19.5 4.5 16 4.5 11V5.5zM9 12l2.2 2.2L15.5 10',
  signal: 'M4 19v-3M9.3 19v-7M14.7 19V9M20 19V5',
  smile: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM8 14c1 2 2.4 3 4 3s3-1 4-3M9 9.3v.2M15 9.3v.2',
  sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4',
  trash: 'M4 6.5h16M9 6.5V4h6v2.5M6 6.5l1 14h10l1-14M10 10.5v6M14 10.5v6',
  user: 'M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM4.5 21a7.5 7.5 0 0 1 15 0',
  warn: 'M12 3.5L22 20.5H2zM12 10v4.5M12 17.3v.2',
} as const;

export type IconName = keyof typeof PATHS;

/** These point along the writing and are mirrored where it runs from right to left. */
const ALONG = new Set<IconName>(['back', 'next', 'reply', 'forward', 'leave', 'send']);

/** Decoration by default; with a `label` it is a picture that says it. */
export function Icon({ name, label }: { name: IconName; label?: string }) {
  return (
    <svg
      className={ALONG.has(name) ? 'icon along' : 'icon'}
      viewBox="0 0 24 24"
      {...(label ? { role: 'img', 'aria-label': label } : { 'aria-hidden': true })}
    >
      {label && <title>{label}</title>}
      <path d={PATHS[name]} />
    </svg>
  );
}
