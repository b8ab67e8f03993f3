import { ofBrowser } from './stored';

export type Theme = 'auto' | 'light' | 'dark';
export const THEMES: readonly Theme[] = ['auto', 'light', 'dark'];

export function storedTheme(): Theme {
  const stored = ofBrowser.getItem('theme');
  return THEMES.find((theme) => theme === stored) ?? 'auto';
}

/** `auto` leaves the choice to the system; the stylesheet knows all three. */
export function applyTheme(theme: Theme): void {
  document.documentElement.dataset.theme = theme;
  ofBrowser.setItem('theme', theme);
}
