/** The page at `/`: an example of the client, small enough to be read in one sitting. Begin with App.tsx. */
import { createRoot } from 'react-dom/client';

import { AuthProvider } from '@/contexts/AuthContext';
import { uuid4 } from '@/core/uuid';
import { App } from './App';
import { LanguageProvider } from './i18n';
import { applyTheme, storedTheme } from './theme';
import './style.css';

/** One session for each browser: the same name at every login. */
function deviceFingerprint(): string {
  const known = localStorage.getItem('device_fingerprint');
  if (known) return known;
  const made = uuid4();
  localStorage.setItem('device_fingerprint', made);
  return made;
}

applyTheme(storedTheme());

createRoot(document.getElementById('app')!).render(
  <AuthProvider baseUrl={location.origin} deviceFingerprint={deviceFingerprint()}>
    <LanguageProvider>
      <App />
    </LanguageProvider>
  </AuthProvider>,
);
