/** Asks who one is, once more, before something important. */
import type { FormEvent } from 'react';

import type { FactorMethod } from 'alviar-client/accounts';
import { useText } from '../i18n';
import { hasPasskeys, useAccounts } from './accounts';
import { Dialog, FaultsProvider, Field, fieldsOf, useWork } from './form';

export function Proof({ methods, answer }: { methods: FactorMethod[]; answer: (proven: boolean) => void }) {
  const { t } = useText();
  const accounts = useAccounts();
  const { busy, run, faults, outcome } = useWork();
  const byCode = methods.includes('totp') || methods.includes('recovery_code');
  const name = byCode ? 'code' : 'password';
  const prove = (work: () => Promise<void>, form?: HTMLFormElement) => run(() => work().then(() => answer(true)), form);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const proof = fieldsOf(event)[name]!;
    void prove(() => accounts.reauthenticate(byCode ? { code: proof } : { password: proof }), event.currentTarget);
  };
  return (
    <Dialog title={t('proveTitle')} onClose={() => answer(false)}>
      <p>{t('proveAbout')}</p>
      <FaultsProvider value={faults}>
        <form onSubmit={submit} noValidate>
          <Field
            name={name}
            label={t(byCode ? 'code' : 'password')}
            type={byCode ? 'text' : 'password'}
            autoComplete={byCode ? 'one-time-code' : 'current-password'}
          />
          {outcome}
          <div className="actions">
            <button type="submit" className="primary" disabled={busy}>
              {t('continue')}
            </button>
            {hasPasskeys && methods.includes('passkey') && (
              <button type="button" disabled={busy} onClick={() => void prove(accounts.reauthenticateByPasskey)}>
                {t('usePasskey')}
              </button>
            )}
            <button type="button" onClick={() => answer(false)}>
              {t('cancel')}
            </button>
          </div>
        </form>
      </FaultsProvider>
    </Dialog>
  );
}
