/** The page at `/`: an example of the client, a messenger to read and to take from. Begin with App.tsx. */
import { createRoot } from 'react-dom/client';

import { defaultStorage, localStorageAdapter, memoryStorage, REFRESH_TOKEN_KEY, uuid4, type TokenStorage } from 'alviar-client';
import { AuthProvider } from 'alviar-client/react';
import { tabSocket } from 'alviar-client/tabs';
import { App } from './App';
import { firstWords, LanguageProvider } from './i18n';
import { ofBrowser, ofWindow } from './stored';
import { applyTheme, storedTheme } from './theme';
import './style.css';

/**
 * `/?as=bob` is a window of its own: it keeps its sign-in in this tab's sessionStorage, so that two people can sit side
 * by side in one browser. Every other tab shares one sign-in.
 */
const as = new URLSearchParams(location.search).get('as');
const store = as === null ? ofBrowser : ofWindow;
/** Where nothing is kept, for as long as the page is open. */
const newFingerprint = uuid4();

/** One session for each browser, or each window of its own: the same name at every login. */
function deviceFingerprint(): string {
  const known = store.getItem('device_fingerprint');
  if (!known) store.setItem('device_fingerprint', newFingerprint);
  return known ?? newFingerprint;
}

// What is shown first is on its way while the words are.
void (store.getItem(REFRESH_TOKEN_KEY) ? import('./Messenger') : import('./SignIn'));

applyTheme(storedTheme());
void Promise.all([firstWords(), as === null ? undefined : leaveCopiedSignIn()]).then(([words]) =>
  createRoot(document.getElementById('app')!).render(
    <AuthProvider
      baseUrl={location.origin}
      deviceFingerprint={deviceFingerprint()}
      storage={as === null ? defaultStorage() : windowStorage()}
      WebSocket={tabSocket()}
    >
      <LanguageProvider first={words}>
        <App as={as} />
      </LanguageProvider>
    </AuthProvider>,
  ),
);

/** No other window shares it: there is nobody to hear of changes from. */
function windowStorage(): TokenStorage {
  try {
    const { getItem, setItem, removeItem } = localStorageAdapter(sessionStorage);
    return { getItem, setItem, removeItem };
  } catch {
    return memoryStorage();
  }
}

/** A duplicated window begins with a copy of the sessionStorage. Two of them would use up each other's tokens. */
async function leaveCopiedSignIn(): Promise<void> {
  const name = `window ${deviceFingerprint()}`;
  const forGood = new Promise<void>(() => {});
  await new Promise<void>((done) => {
    // A page that is being reloaded gives its lock back in a moment; another window never does.
    navigator.locks
      ?.request(name, { signal: AbortSignal.timeout(1_000) }, () => (done(), forGood))
      .catch(() => (ofWindow.clear(), done())) ?? done();
  });
}
