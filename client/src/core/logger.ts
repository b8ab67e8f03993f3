/** Where the client says what it could not do. `console` has this shape; no token is ever in a line. */
export interface Logger {
  warn(message: string, ...details: unknown[]): void;
  error(message: string, ...details: unknown[]): void;
}
