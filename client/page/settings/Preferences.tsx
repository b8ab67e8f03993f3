import { useState } from 'react';

import type { User } from 'alviar-client';
import { useAuth } from 'alviar-client/react';
import { LANGUAGES, useText, type Language } from '../i18n';
import { Icon } from '../ui/icons';
import { applyTheme, storedTheme, THEMES, type Theme } from '../theme';

export function Preferences({ labelled = false }: { labelled?: boolean }) {
  const { t, language, setLanguage } = useText();
  const { client, isAuthenticated } = useAuth();
  const [theme, setTheme] = useState<Theme>(storedTheme);

  const chooseLanguage = (chosen: Language) => {
    setLanguage(chosen);
    // Mails come in the language of the account.
    if (isAuthenticated) {
      void client.api<User>('PATCH', '/api/users/me/', { language: chosen }).then(client.setUser, () => {});
    }
  };

  return (
    <span className="preferences" data-labelled={labelled}>
      <span className="icon-select">
      {labelled ? <span aria-hidden="true">{t('language')}</span> : <Icon name="globe" />}
      <select
        aria-label={t('language')}
        value={language}
        onChange={(event) => chooseLanguage(event.currentTarget.value as Language)}
      >
        {LANGUAGES.map(([code, name]) => (
          <option key={code} value={code} lang={code}>
            {name}
          </option>
        ))}
      </select>
      </span>
      <span className="icon-select">
      {labelled ? <span aria-hidden="true">{t('theme')}</span> : <Icon name="sun" />}
      <select
        aria-label={t('theme')}
        value={theme}
        onChange={(event) => {
          const chosen = event.currentTarget.value as Theme;
          applyTheme(chosen);
          setTheme(chosen);
        }}
      >
        {THEMES.map((each) => (
          <option key={each} value={each}>
            {t(`theme_${each}`)}
          </option>
        ))}
      </select>
      </span>
    </span>
  );
}
