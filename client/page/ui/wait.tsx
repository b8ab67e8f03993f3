/** How long there is to wait. */
import { useEffect, useState } from 'react';

/** Counts down to 0 while it is shown. */
export function useSecondsUntil(until: number): number {
  const [now, setNow] = useState(Date.now());
  const over = until <= now;
  useEffect(() => {
    setNow(Date.now());
    if (until <= Date.now()) return;
    const timer = setInterval(() => setNow(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, [until, over]);
  return Math.max(0, Math.ceil((until - now) / 1000));
}

/** Seen, and not heard every second. */
export function Countdown({ seconds }: { seconds: number }) {
  return (
    <span aria-hidden="true" dir="ltr">
      ({Math.floor(seconds / 60)}:{String(seconds % 60).padStart(2, '0')})
    </span>
  );
}
