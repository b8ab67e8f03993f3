/** The readable part of an access token. Nothing here is verified: that is the server's work. */
export interface TokenClaims {
  /** Seconds of the server's clock. */
  exp?: number;
  iat?: number;
  sid?: string;
  user_id?: string;
}

/** The claims, or null for a token that is not a JWT. */
export function readClaims(token: string): TokenClaims | null {
  const part = token.split('.')[1];
  if (!part) return null;
  try {
    const base64 = part.replace(/-/g, '+').replace(/_/g, '/');
    const binary = atob(base64.padEnd(Math.ceil(base64.length / 4) * 4, '='));
    const claims: unknown = JSON.parse(
      new TextDecoder().decode(Uint8Array.from(binary, (letter) => letter.charCodeAt(0))),
    );
    return claims && typeof claims === 'object' ? (claims as TokenClaims) : null;
  } catch {
    return null;
  }
}
