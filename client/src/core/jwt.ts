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

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** The claims, or null for a token that is not a JWT. By hand: not every phone has `atob` and `TextDecoder`. */
export function readClaims(token: string): TokenClaims | null {
  let encoded = '';
  let bits = 0;
  let value = 0;
  for (const letter of token.split('.')[1] ?? '') {
    value = (value << 6) | (ALPHABET.indexOf(letter) & 63);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    encoded += `%${((value >> bits) & 255).toString(16).padStart(2, '0')}`;
    value &= 255;
  }
  try {
    const claims: unknown = JSON.parse(decodeURIComponent(encoded));
    return claims && typeof claims === 'object' ? claims : null;
  } catch {
    return null;
  }
}
