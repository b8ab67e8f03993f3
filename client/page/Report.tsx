import { useState } from 'react';

import type { TimelineMessage } from 'alviar-client';
import { useAuth } from 'alviar-client/react';
import { excerptOf } from './chat';
import { useText } from './i18n';
import { Dialog, Field, Form } from './ui/form';

/** To those who look after this server; nobody in the conversation learns of it. */
export function Report({ message, onClose }: { message: TimelineMessage; onClose: () => void }) {
  const { t } = useText();
  const { client } = useAuth();
  const [done, setDone] = useState(false);
  return (
    <Dialog title={t('report')} onClose={onClose}>
      <Form
        submit={done ? '' : t('report')}
        work={async ({ reason }) => {
          await client.api('POST', '/api/chat/reports/', { message_uuid: message.uuid, reason });
          setDone(true);
          return t('reported');
        }}
        more={
          <button type="button" onClick={onClose}>
            {t(done ? 'close' : 'cancel')}
          </button>
        }
      >
        <blockquote dir="auto">
          <span>{excerptOf(message)}</span>
        </blockquote>
        {!done && <Field name="reason" label={t('reportReason')} maxLength={500} />}
      </Form>
    </Dialog>
  );
}
