/** Files on their way into a message. */
import { useEffect, useRef, useState } from 'react';

import type { Attachment } from 'alviar-client';
import { uploadAttachment, uploadResumable, UploadCancelled } from 'alviar-client/media';
import { useAuth } from 'alviar-client/react';
import { problemText } from './chat';
import { useText } from './i18n';

export interface Upload {
  id: number;
  name: string;
  /** Between 0 and 1. */
  progress: number;
  attachment: Attachment | null;
  problem: string;
  cancel: () => void;
}

/** What is larger goes in pieces, and goes on where it was cut. */
const ONE_REQUEST_BYTES = 5_000_000;
const MOST = 10;
let lastId = 0;

export function useUploads() {
  const { t } = useText();
  const { client } = useAuth();
  const [uploads, setUploads] = useState<readonly Upload[]>([]);
  const held = useRef(uploads);
  held.current = uploads;
  useEffect(() => () => held.current.forEach(({ attachment, cancel }) => attachment ?? cancel()), []);

  const patch = (id: number, change: Partial<Upload>) =>
    setUploads((before) => before.map((upload) => (upload.id === id ? { ...upload, ...change } : upload)));

  const add = (files: Iterable<File>) => {
    for (const file of [...files].slice(0, MOST - held.current.length)) {
      const id = ++lastId;
      const name = file.name || 'file';
      const aborter = new AbortController();
      setUploads((before) => [...before, { id, name, progress: 0, attachment: null, problem: '', cancel: () => aborter.abort() }]);
      const send = file.size > ONE_REQUEST_BYTES ? uploadResumable : uploadAttachment;
      send(client, file, { name, signal: aborter.signal, onProgress: (progress) => patch(id, { progress }) }).then(
        (attachment) => patch(id, { attachment, progress: 1 }),
        (error: unknown) => {
          if (!(error instanceof UploadCancelled)) patch(id, { problem: problemText(error, t) });
        },
      );
    }
  };
  const drop = (id: number) => {
    held.current.find((upload) => upload.id === id)?.cancel();
    setUploads((before) => before.filter((upload) => upload.id !== id));
  };
  return { uploads, add, drop, clear: () => setUploads([]) };
}
