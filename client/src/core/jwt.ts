/** The readable part of a token. Nothing here is verified: that is the server's work. */
export interface TokenClaims {
  /** Seconds of the server's clock. */
  exp?: number;
  iat?: number;
  sid?: string;
  user_id?: string;
  /** When one last proved who one is, seconds, and by what (RFC 8176). */
  auth_time?: number;
  amr?: string[];
  /** Counts the rotations of a session. */
  gen?: number;
}

/** The claims, or null for a token that is not a JWT. By hand: not every phone has `atob` and `TextDecoder`. */
export function readClaims(token: string): TokenClaims | null {
  const bits = [...(token.split('.')[1] ?? '')].map((letter) => (64 + sixBits(letter)).toString(2).slice(1)).join('');
  const bytes = (bits.match(/.{8}/g) ?? []).map((byte) => (256 + parseInt(byte, 2)).toString(16).slice(1));
  try {
    const claims: unknown = JSON.parse(decodeURIComponent(bytes.map((byte) => `%${byte}`).join('')));
    return claims && typeof claims === 'object' ? claims : null;
  } catch {
    return null;
  }
}

/** A…Z, a…z, 0…9, `-` and `_` are 0 to 63. `parseInt` in base 36 knows digits and letters in either case. */
function sixBits(letter: string): number {
  const known = parseInt(letter, 36);
  if (known < 10) return known + 52;
  if (known >= 10) return letter < 'a' ? known - 10 : known + 16;
  return letter === '-' ? 62 : 63;
}
