/** A voice message: length and level while one speaks, sent or thrown away at the end. */
import { useEffect, useRef, useState } from 'react';

import { uploadAttachment } from 'alviar-client/media';
import { useAuth, useChat } from 'alviar-client/react';
import { lengthOf, problemText } from './chat';
import { useText } from './i18n';
import { Icon } from './ui/icons';

const BARS = 40;
const LEVEL_EVERY_MS = 80;
const LONGEST_MS = 15 * 60_000;

type Phase = 'asking' | 'recording' | 'sending' | 'refused' | 'failed';

export function Recorder({ conversation, onDone }: { conversation: string; onDone: () => void }) {
  const { t } = useText();
  const { client } = useAuth();
  const chat = useChat();
  const [phase, setPhase] = useState<Phase>('asking');
  const [problem, setProblem] = useState('');
  const [elapsedMs, setElapsed] = useState(0);
  const [levels, setLevels] = useState<number[]>([]);
  const take = useRef<Take | null>(null);
  const stop = useRef<HTMLButtonElement>(null);

  useEffect(() => {
    let gone = false;
    record().then(
      (begun) => {
        if (gone) return begun.end();
        take.current = begun;
        setPhase('recording');
      },
      () => !gone && setPhase('refused'),
    );
    return () => {
      gone = true;
      take.current?.end();
    };
  }, []);

  useEffect(() => {
    if (phase !== 'recording') return;
    stop.current?.focus();
    const begun = Date.now();
    const timer = setInterval(() => {
      const ms = Date.now() - begun;
      setElapsed(ms);
      setLevels((before) => [...before, take.current!.level()].slice(-BARS));
      if (ms > LONGEST_MS) void send();
    }, LEVEL_EVERY_MS);
    return () => clearInterval(timer);
  }, [phase]);

  const send = async () => {
    setPhase('sending');
    setProblem('');
    try {
      const { bytes, name } = await take.current!.finish();
      const attachment = await uploadAttachment(client, bytes, { name });
      chat.sendMessage(conversation, '', { attachments: [attachment] });
      onDone();
    } catch (error) {
      setProblem(problemText(error, t));
      setPhase('failed');
    }
  };

  return (
    <div className="composer recorder" role="group" aria-label={t('voiceMessage')} onKeyDown={(event) => event.key === 'Escape' && onDone()}>
      {(phase === 'refused' || phase === 'failed') && (
        <p role="alert" className="bad">
          {phase === 'refused' ? t('noMicrophone') : problem}
        </p>
      )}
      <div className="composer-line">
        <button type="button" className="round quiet bad" aria-label={t('discardRecording')} title={t('discardRecording')} onClick={onDone}>
          <Icon name="trash" />
        </button>
        <div className="composer-field levels-field">
          <span className={`record-dot${phase === 'recording' ? ' live' : ''}`} />
          <strong role="timer" dir="ltr">
            {lengthOf(elapsedMs)}
          </strong>
          <svg className="levels" viewBox={`0 0 ${BARS * 4} 32`} preserveAspectRatio="xMaxYMid meet" aria-hidden="true">
            {levels.map((level, index) => {
              const height = 3 + level * 26;
              return <rect key={index} x={(BARS - levels.length + index) * 4} y={16 - height / 2} width="2.5" height={height} rx="1.2" />;
            })}
          </svg>
          <span className="hidden" role="status">
            {phase === 'recording' ? t('recording') : phase === 'sending' ? t('sending') : ''}
          </span>
        </div>
        <button
          ref={stop}
          type="button"
          className="round primary"
          aria-label={t('sendRecording')}
          title={t('sendRecording')}
          disabled={phase !== 'recording' && phase !== 'failed'}
          onClick={() => void send()}
        >
          <Icon name="send" />
        </button>
      </div>
    </div>
  );
}

interface Take {
  /** Between 0 and 1. */
  level: () => number;
  /** Ends it and gives the bytes; a second time the same ones. */
  finish: () => Promise<{ bytes: Blob; name: string }>;
  end: () => void;
}

async function record(): Promise<Take> {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const recorder = new MediaRecorder(stream);
  const parts: Blob[] = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(stream).connect(analyser);
  const samples = new Uint8Array(analyser.fftSize);
  const stopped = new Promise<void>((done) => (recorder.onstop = () => done()));
  const end = () => {
    if (recorder.state !== 'inactive') recorder.stop();
    for (const track of stream.getTracks()) track.stop();
    if (context.state !== 'closed') void context.close();
  };
  recorder.start(1_000);
  return {
    end,
    level() {
      analyser.getByteTimeDomainData(samples);
      const loudest = samples.reduce((most, sample) => Math.max(most, Math.abs(sample - 128)), 0);
      return Math.min(1, loudest / 100);
    },
    async finish() {
      end();
      await stopped;
      const type = recorder.mimeType.split(';')[0]!;
      const ending = type.includes('mp4') ? 'm4a' : type.includes('ogg') ? 'ogg' : 'webm';
      return { bytes: new Blob(parts, { type }), name: `voice-${new Date().toISOString().slice(0, 19).replace(/:/g, '-')}.${ending}` };
    },
  };
}
