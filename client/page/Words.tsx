import type { ReactNode } from 'react';

/** The end of a sentence is no part of an address. */
const LINK = /https?:\/\/[^\s<>"]*[^\s<>".,;:!?'»)\]]/gi;

/** Text as it was written; what is an address of the web can be followed, and nothing else is more than text. */
export function Words({ text }: { text: string }) {
  const parts: ReactNode[] = [];
  let from = 0;
  for (const { 0: address, index } of text.matchAll(LINK)) {
    if (!URL.canParse(address)) continue;
    parts.push(
      text.slice(from, index),
      <a key={index} href={address} target="_blank" rel="noopener noreferrer nofollow" dir="ltr">
        {address}
      </a>,
    );
    from = index + address.length;
  }
  return <>{[...parts, text.slice(from)]}</>;
}
