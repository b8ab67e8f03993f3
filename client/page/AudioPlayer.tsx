import { useEffect, useRef, useState } from 'react';

import type { Attachment } from 'alviar-client';
import { saveAs, useBytes, readBytes } from './Attachment';
import { lengthOf } from './chat';
import { useAuth } from 'alviar-client/react';
import { useText } from './i18n';
import { Icon } from './ui/icons';

const BAR_WIDTH = 4;

/** A sound as its waveform: read when it is first played, and one can go to any place in it. */
export function AudioPlayer({ attachment }: { attachment: Attachment }) {
  const { t } = useText();
  const { client } = useAuth();
  const { name, url, duration_ms, waveform } = attachment;
  const [asked, setAsked] = useState(false);
  const [playing, setPlaying] = useState(false);
  const [atMs, setAt] = useState(0);
  const { source, problem } = useBytes(asked ? url : null);
  const element = useRef<HTMLAudioElement>(null);
  const length = duration_ms ?? 0;
  const bars = waveform ?? Array<number>(64).fill(40);

  useEffect(() => {
    if (source) void element.current?.play().catch(() => {});
  }, [source]);

  const toggle = () => {
    if (!source) return setAsked(true);
    if (playing) element.current!.pause();
    else void element.current!.play();
  };
  const heard = length > 0 ? atMs / length : 0;
  return (
    <div className="sound">
      <button type="button" className="round primary" disabled={asked && !source && !problem} aria-label={`${t(playing ? 'pause' : 'play')}: ${name}`} onClick={toggle}>
        <Icon name={playing ? 'pause' : 'play'} />
      </button>
      <div className="sound-line">
        <svg className="waveform" viewBox={`0 0 ${bars.length * BAR_WIDTH} 32`} preserveAspectRatio="none" aria-hidden="true">
          {bars.map((level, index) => {
            const height = 3 + (level / 255) * 27;
            const past = index / bars.length < heard;
            return <rect key={index} className={past ? 'past' : undefined} x={index * BAR_WIDTH} y={16 - height / 2} width="2.5" height={height} rx="1.2" />;
          })}
        </svg>
        <input
          type="range"
          min="0"
          max={Math.max(1, length)}
          step="100"
          value={atMs}
          disabled={!source}
          aria-label={`${t('position')}: ${name}`}
          aria-valuetext={lengthOf(atMs)}
          onInput={(event) => {
            const ms = Number(event.currentTarget.value);
            element.current!.currentTime = ms / 1000;
            setAt(ms);
          }}
        />
        <small dir="ltr">
          {atMs > 0 ? `${lengthOf(atMs)} / ` : ''}
          {lengthOf(length)}
        </small>
      </div>
      <button type="button" className="icon-button" aria-label={`${t('download')}: ${name}`} title={t('download')} onClick={() => void readBytes(client, url).then((bytes) => saveAs(bytes, name), () => {})}>
        <Icon name="download" />
      </button>
      {source && (
        <audio
          ref={element}
          src={source}
          onPlay={() => setPlaying(true)}
          onPause={() => setPlaying(false)}
          onTimeUpdate={(event) => setAt(event.currentTarget.currentTime * 1000)}
          onEnded={() => setAt(0)}
        />
      )}
      {problem && <p className="bad">{problem}</p>}
    </div>
  );
}
