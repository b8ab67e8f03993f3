import { useState } from 'react';

import { ApiError } from 'alviar-client';
import { useAuth } from 'alviar-client/react';
import { saveAs } from '../Attachment';
import { useText } from '../i18n';
import { Field, Form, Section, useWork } from '../ui/form';
import { withPassword } from './Profile';

/** A copy of everything, and the end. */
export function Data() {
  return (
    <>
      <Export />
      <Closing />
    </>
  );
}

function Export() {
  const { t } = useText();
  const { client } = useAuth();
  const { busy, run, outcome } = useWork();
  const save = async () => {
    const response = await client.fetch('/api/users/me/export/');
    if (!response.ok) throw await ApiError.from(response);
    saveAs(await (response as unknown as Response).blob(), 'alviar.json');
  };
  return (
    <Section title={t('export')} untitled>
      <p className="hint">{t('exportAbout')}</p>
      {outcome}
      <div className="actions">
        <button type="button" aria-disabled={busy} onClick={() => !busy && void run(save)}>
          {t('download')}
        </button>
      </div>
    </Section>
  );
}

function Closing() {
  const { t } = useText();
  const { client, logout } = useAuth();
  const [sure, setSure] = useState(false);
  const close = async (fields: Record<string, string>) => {
    await client.api('POST', '/api/users/me/close/', withPassword(fields));
    await logout();
  };
  return (
    <Section title={t('closeAccount')}>
      <p className="hint">{t('closeAbout')}</p>
      {sure ? (
        <Form
          submit={t('closeForGood')}
          danger
          keep
          work={close}
          more={
            <button type="button" onClick={() => setSure(false)}>
              {t('cancel')}
            </button>
          }
        >
          <Field name="password" label={t('password')} type="password" autoComplete="current-password" optional />
        </Form>
      ) : (
        <div className="actions">
          <button type="button" className="bad" onClick={() => setSure(true)}>
            {t('closeAccount')}
          </button>
        </div>
      )}
    </Section>
  );
}
