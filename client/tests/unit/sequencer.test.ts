import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { Sequencer } from '@/core/sequencer';
import { created } from '../support/fakes';

const seqs = (events: Array<{ seq: number }>) => events.map((event) => event.seq);

describe('one conversation', () => {
  it('applies last + 1, ignores what was, holds what lies beyond a hole', () => {
    const sequencer = new Sequencer();
    sequencer.advance('a', 4);
    expect(seqs(sequencer.accept([created('a', 4), created('a', 5)]))).toEqual([5]);
    expect(sequencer.accept([created('a', 8), created('a', 7)])).toEqual([]);
    expect(sequencer.holes()).toEqual([{ conversation_uuid: 'a', after_seq: 5 }]);
    expect(seqs(sequencer.accept([created('a', 6)]))).toEqual([6, 7, 8]);
    expect(sequencer.holes()).toEqual([]);
  });

  it('goes on after a gap with what had waited beyond it', () => {
    const sequencer = new Sequencer();
    sequencer.advance('a', 1);
    sequencer.accept([created('a', 300), created('a', 302)]);
    expect(seqs(sequencer.gap('a', 299))).toEqual([300]);
    expect(sequencer.holes()).toEqual([{ conversation_uuid: 'a', after_seq: 300 }]);
  });

  it('takes a cursor back when the epoch has: the gap decides', () => {
    const sequencer = new Sequencer();
    sequencer.advance('a', 900);
    sequencer.gap('a', 3);
    expect(seqs(sequencer.accept([created('a', 4)]))).toEqual([4]);
  });

  it('knows nothing of a conversation it has left', () => {
    const sequencer = new Sequencer();
    sequencer.advance('a', 9);
    sequencer.forget('a');
    expect(sequencer.cursors).toEqual({});
    expect(seqs(sequencer.accept([created('a', 40)]))).toEqual([40]);
  });
});

describe('while a resume is answered', () => {
  it('lets a live event of an unknown conversation wait for the older ones', () => {
    const sequencer = new Sequencer();
    sequencer.resuming = true;
    expect(sequencer.accept([created('new', 3)])).toEqual([]);
    expect(sequencer.accept([created('new', 1), created('new', 2)])).toEqual([]);
    expect(sequencer.holes()).toEqual([]);
    expect(seqs(sequencer.finishResume())).toEqual([1, 2, 3]);
  });

  it('takes history of before the first hello as known', () => {
    const sequencer = new Sequencer();
    sequencer.resuming = true;
    const old = { ...created('new', 1), at: '2020-01-01T00:00:00Z' };
    sequencer.accept([old, created('new', 2)]);
    expect(seqs(sequencer.finishResume(Date.now() - 60_000))).toEqual([2]);
  });
});

describe('property', () => {
  it('hands on every event once and in order, whatever the wire loses, repeats and reorders', () => {
    const wire = fc.record({
      heads: fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 4 }),
      noise: fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 120 }),
      batch: fc.integer({ min: 1, max: 5 }),
      resumeAt: fc.nat(),
    });
    fc.assert(
      fc.property(wire, ({ heads, noise, batch, resumeAt }) => {
        const sequencer = new Sequencer();
        heads.forEach((_, c) => sequencer.advance(`c${c}`, 0));
        const delivered: Array<{ conversation_uuid: string; seq: number }> = [];
        // Any events in any order, any number of times.
        const arriving = noise.map(([c, s]) => {
          const conversation = c % heads.length;
          return created(`c${conversation}`, (s % heads[conversation]!) + 1);
        });
        for (let i = 0; i < arriving.length; i += batch) {
          if (i >= resumeAt % 120) sequencer.resuming = true;
          delivered.push(...sequencer.accept(arriving.slice(i, i + batch)));
        }
        delivered.push(...sequencer.finishResume());
        // Then the server answers `sync` for each hole, and one last event shows the head of each conversation.
        heads.forEach((head, c) => delivered.push(...sequencer.accept([created(`c${c}`, head)])));
        for (let holes = sequencer.holes(); holes.length > 0; holes = sequencer.holes()) {
          for (const { conversation_uuid: c, after_seq } of holes) {
            const head = heads[Number(c.slice(1))]!;
            const page = Array.from({ length: Math.min(7, head - after_seq) }, (_, i) => created(c, after_seq + 1 + i));
            delivered.push(...sequencer.accept(page));
          }
        }
        heads.forEach((head, c) => {
          const got = seqs(delivered.filter((event) => event.conversation_uuid === `c${c}`));
          expect(got).toEqual(Array.from({ length: head }, (_, i) => i + 1));
        });
      }),
      { numRuns: 300 },
    );
  });
});
