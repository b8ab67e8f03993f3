/** What hangs at a message. The bytes are only for members: they are fetched with the token, never by a bare link. */
import { useEffect, useState } from 'react';

import { ApiError, type Attachment as AttachmentType, type AuthClient } from 'alviar-client';
import { useAuth } from 'alviar-client/react';
import { lengthOf, problemText, sizeOf } from './chat';
import { useText } from './i18n';
import { AudioPlayer, Viewer } from './later';
import { Icon } from './ui/icons';

export async function readBytes(client: AuthClient, url: string): Promise<Blob> {
  const { pathname, search } = new URL(url, location.href);
  const response = await client.fetch(pathname + search);
  if (!response.ok) throw await ApiError.from(response);
  return (response as unknown as Response).blob();
}

/** An address for the bytes, for as long as it is shown. */
export function useBytes(url: string | null): { source: string; problem: string } {
  const { t } = useText();
  const { client } = useAuth();
  const [source, setSource] = useState('');
  const [problem, setProblem] = useState('');
  useEffect(() => {
    if (!url) return;
    let made = '';
    let gone = false;
    readBytes(client, url).then(
      (bytes) => !gone && setSource((made = URL.createObjectURL(bytes))),
      (error: unknown) => !gone && setProblem(problemText(error, t)),
    );
    return () => {
      gone = true;
      setSource('');
      URL.revokeObjectURL(made);
    };
  }, [client, url]);
  return { source, problem };
}

export function Attachment({ attachment, conversation }: { attachment: AttachmentType; conversation: string }) {
  const { t } = useText();
  const { kind, name, state } = attachment;
  if (state === 'processing') {
    return (
      <p className="file processing">
        <span className="file-icon">
          <Icon name="clock" />
        </span>
        {t('processing', { name })}
      </p>
    );
  }
  if (kind === 'image') return <Picture attachment={attachment} conversation={conversation} />;
  if (kind === 'audio') return <AudioPlayer attachment={attachment} />;
  if (kind === 'video') return <Film attachment={attachment} />;
  return <FileRow attachment={attachment} />;
}

const WIDEST_PX = 320;
const TALLEST_PX = 360;

/** The place is kept before the bytes are there, so that nothing jumps. */
function roomFor(width: number | null, height: number | null) {
  const [w, h] = [width ?? 240, height ?? 160];
  const scale = Math.min(1, WIDEST_PX / w, TALLEST_PX / h);
  return { width: Math.max(96, Math.round(w * scale)), aspectRatio: `${w} / ${h}` };
}

export function Picture({ attachment, conversation }: { attachment: AttachmentType; conversation: string }) {
  const { name, width, height, thumbnail_url, url } = attachment;
  const { source, problem } = useBytes(thumbnail_url ?? url);
  const [open, setOpen] = useState(false);
  return (
    <div className="attachment">
      <button type="button" tabIndex={0} className="picture" aria-label={name} onClick={() => setOpen(true)}>
        <img src={source || undefined} alt={name} style={roomFor(width, height)} />
      </button>
      {problem && <p className="bad">{problem}</p>}
      {open && <Viewer first={attachment} conversation={conversation} onClose={() => setOpen(false)} />}
    </div>
  );
}

/** Read when it is asked for: a film may be large. */
function Film({ attachment }: { attachment: AttachmentType }) {
  const { t } = useText();
  const { name, thumbnail_url, url, duration_ms, width, height } = attachment;
  const [asked, setAsked] = useState(false);
  const poster = useBytes(thumbnail_url);
  const { source, problem } = useBytes(asked ? url : null);
  const length = duration_ms ? lengthOf(duration_ms) : '';
  return (
    <div className="attachment">
      {source ? (
        <video controls autoPlay src={source} aria-label={name} style={roomFor(width, height)} />
      ) : (
        <button type="button" className="picture film" disabled={asked && !problem} aria-label={`${t('play')}: ${name} ${length}`} onClick={() => setAsked(true)}>
          <img src={poster.source || undefined} alt="" style={roomFor(width, height)} />
          <span className="play-over">
            <Icon name={asked && !problem ? 'clock' : 'play'} />
          </span>
          {length && (
            <span className="film-length" dir="ltr">
              {length}
            </span>
          )}
        </button>
      )}
      {problem && <p className="bad">{problem}</p>}
    </div>
  );
}

export function FileRow({ attachment: { name, url, size } }: { attachment: AttachmentType }) {
  const { t } = useText();
  const { client } = useAuth();
  const [problem, setProblem] = useState('');
  const save = async () => {
    setProblem('');
    try {
      saveAs(await readBytes(client, url), name);
    } catch (error) {
      setProblem(problemText(error, t));
    }
  };
  return (
    <>
      <button type="button" className="file" onClick={() => void save()}>
        <span className="hidden">{t('download')}: </span>
        <span className="file-icon">
          <Icon name="file" />
        </span>
        <span className="file-name">
          <bdi>{name}</bdi>
          <small dir="ltr">{sizeOf(size)}</small>
        </span>
        <Icon name="download" />
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
