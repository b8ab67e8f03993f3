/** What an account is and how it is proven: read with the sign-in and the settings only. */
import { useMemo } from 'react';

import { Accounts } from 'alviar-client/accounts';
import { useAuth } from 'alviar-client/react';

export function useAccounts(): Accounts {
  const { client } = useAuth();
  return useMemo(() => new Accounts(client), [client]);
}

/** Passkeys belong to a name; a browser refuses them at a bare address. */
export const hasPasskeys =
  typeof PublicKeyCredential !== 'undefined' && !/^[\d.]+$|^\[/.test(location.hostname);
