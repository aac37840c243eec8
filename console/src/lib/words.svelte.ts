// The language: what the browser prefers, or what was chosen. State words and `uptodate` are never
// translated, and what the nodes say themselves is in English.
import { en, type Messages } from '../messages/en';
import { de } from '../messages/de';

export type Language = 'en' | 'de';

const KEY = 'tandem-language';
const catalogues: Record<Language, Messages> = { en, de };

function first(): Language {
  const chosen = localStorage.getItem(KEY);
  if (chosen === 'en' || chosen === 'de') return chosen;
  return navigator.language.toLowerCase().startsWith('de') ? 'de' : 'en';
}

const chosen = $state({ language: first() });
document.documentElement.lang = chosen.language;

export function text(): Messages {
  return catalogues[chosen.language];
}

export function language(): Language {
  return chosen.language;
}

export function locale(): string {
  return chosen.language === 'de' ? 'de-DE' : 'en-GB';
}

export function choose(language: Language): void {
  chosen.language = language;
  localStorage.setItem(KEY, language);
  document.documentElement.lang = language;
}
