/**
 * Sign-in at a provider by its own page (OpenID Connect, implicit flow: the ID token comes back in the fragment).
 *
 * An app uses the provider's SDK instead and hands its ID token to `signInWith`.
 */
import { uuid4 } from 'alviar-client';
import { ofWindow } from './stored';

type Purpose = 'signIn' | 'link';

interface Journey {
  provider: string;
  purpose: Purpose;
  nonce: string;
  state: string;
}

const KEPT = 'social_journey';

/** The server writes into the page whom it offers: `google apple company`. */
export const offered = (document.getElementById('app')?.dataset.social ?? '')
  .split(' ')
  .filter(Boolean)
  .map((provider) => ({ provider, name: provider.charAt(0).toUpperCase() + provider.slice(1) }));

/** Leaves the page; `state` and `nonce` bind what comes back to this browser and to this journey. */
export function leaveFor(provider: string, purpose: Purpose): void {
  const journey: Journey = { provider, purpose, nonce: uuid4(), state: uuid4() };
  ofWindow.setItem(KEPT, JSON.stringify(journey));
  location.assign(`/sign-in/${provider}/?nonce=${journey.nonce}&state=${journey.state}`);
}

/** `id_token` is empty where somebody turned back, or the provider could not be asked. */
type Returned = Journey & { id_token: string };

let returned: Returned | null | undefined;

/** What a provider sent back with us, once; null where this is an ordinary visit or the answer is somebody else's. */
export function takeReturned(purpose: Purpose): Returned | null {
  returned ??= read();
  if (returned?.purpose !== purpose) return null;
  const taken = returned;
  returned = null;
  return taken;
}

function read(): Returned | null {
  const kept = ofWindow.getItem(KEPT);
  const answer = new URLSearchParams(location.hash.slice(1));
  const id_token = answer.get('id_token') ?? '';
  if (!kept || !(id_token || answer.has('error'))) return null;
  ofWindow.removeItem(KEPT);
  const journey = JSON.parse(kept) as Journey;
  // The token is not left in the address or the history.
  history.replaceState(null, '', journey.purpose === 'link' ? '/#/settings/security' : '/');
  return answer.get('state') === journey.state ? { ...journey, id_token } : null;
}
