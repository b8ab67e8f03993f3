/** What hangs at a message. The bytes are only for members: they are fetched with the token, never by a bare link. */
import { useEffect, useState } from 'react';

import { ApiError, type Attachment as AttachmentType, type AuthClient } from 'alviar-client';
import { useAuth } from 'alviar-client/react';
import { problemText } from './chat';
import { Dialog } from './form';
import { useText } from './i18n';

async function read(client: AuthClient, url: string): Promise<Blob> {
  const { pathname, search } = new URL(url, location.href);
  const response = await client.fetch(pathname + search);
  if (!response.ok) throw await ApiError.from(response);
  return (response as unknown as Response).blob();
}

/** An address for the bytes, for as long as it is shown. */
function useBytes(url: string | null): { source: string; problem: string } {
  const { t } = useText();
  const { client } = useAuth();
  const [source, setSource] = useState('');
  const [problem, setProblem] = useState('');
  useEffect(() => {
    if (!url) return;
    let made = '';
    let gone = false;
    read(client, url).then(
      (bytes) => !gone && setSource((made = URL.createObjectURL(bytes))),
      (error: unknown) => !gone && setProblem(problemText(error, t)),
    );
    return () => {
      gone = true;
      URL.revokeObjectURL(made);
    };
  }, [client, url]);
  return { source, problem };
}

export function Attachment({ attachment }: { attachment: AttachmentType }) {
  const { t } = useText();
  const { kind, name, size, state } = attachment;
  if (state === 'processing') return <p className="file hint">{t('processing', { name })}</p>;
  return (
    <figure className="attachment">
      {kind === 'image' && <Picture attachment={attachment} />}
      {(kind === 'video' || kind === 'audio') && <Player attachment={attachment} />}
      <figcaption className="file">
        <span>
          <bdi>{name}</bdi> <small dir="ltr">{sizeOf(size)}</small>
        </span>
        <Download attachment={attachment} />
      </figcaption>
    </figure>
  );
}

function Picture({ attachment }: { attachment: AttachmentType }) {
  const { name, width, height, thumbnail_url, url } = attachment;
  const { source, problem } = useBytes(thumbnail_url ?? url);
  const [open, setOpen] = useState(false);
  return (
    <>
      <button type="button" className="picture" aria-label={name} onClick={() => setOpen(true)}>
        {/* The place is kept before the bytes are there, so that nothing jumps. */}
        <img src={source || undefined} alt={name} width={width ?? 240} height={height ?? 160} />
      </button>
      {problem && <p className="bad">{problem}</p>}
      {open && <Whole attachment={attachment} onClose={() => setOpen(false)} />}
    </>
  );
}

function Whole({ attachment, onClose }: { attachment: AttachmentType; onClose: () => void }) {
  const { t } = useText();
  const { source, problem } = useBytes(attachment.url);
  return (
    <Dialog title={attachment.name} onClose={onClose}>
      {source && <img className="whole" src={source} alt={attachment.name} />}
      {problem && <p className="bad">{problem}</p>}
      <div className="actions">
        <button type="button" onClick={onClose}>
          {t('close')}
        </button>
      </div>
    </Dialog>
  );
}

/** Read when it is asked for: a film may be large. */
function Player({ attachment }: { attachment: AttachmentType }) {
  const { t } = useText();
  const { kind, name, thumbnail_url, url, duration_ms } = attachment;
  const [asked, setAsked] = useState(false);
  const poster = useBytes(kind === 'video' ? thumbnail_url : null);
  const { source, problem } = useBytes(asked ? url : null);
  const label = duration_ms ? `${name} (${lengthOf(duration_ms)})` : name;
  if (source) {
    return kind === 'video' ? (
      <video controls autoPlay src={source} aria-label={name} />
    ) : (
      <audio controls autoPlay src={source} aria-label={name} />
    );
  }
  return (
    <>
      {poster.source && <img src={poster.source} alt="" width={attachment.width ?? 240} height={attachment.height ?? 160} />}
      <button type="button" disabled={asked && !problem} aria-label={`${t('play')}: ${label}`} onClick={() => setAsked(true)}>
        ▶ {duration_ms ? <span dir="ltr">{lengthOf(duration_ms)}</span> : t('play')}
      </button>
      {problem && <p className="bad">{problem}</p>}
    </>
  );
}

function Download({ attachment: { name, url } }: { attachment: AttachmentType }) {
  const { t } = useText();
  const { client } = useAuth();
  const [problem, setProblem] = useState('');
  const save = async () => {
    setProblem('');
    try {
      saveAs(await read(client, url), name);
    } catch (error) {
      setProblem(problemText(error, t));
    }
  };
  return (
    <>
      <button type="button" className="link" aria-label={`${t('download')}: ${name}`} onClick={() => void save()}>
        {t('download')}
      </button>
      {problem && <span className="bad">{problem}</span>}
    </>
  );
}

export function saveAs(bytes: Blob, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(bytes);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export function sizeOf(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB'];
  const step = bytes < 1 ? 0 : Math.min(3, Math.floor(Math.log10(bytes) / 3));
  return `${Number((bytes / 1000 ** step).toFixed(1))} ${units[step]}`;
}

function lengthOf(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}
