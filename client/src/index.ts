export * from './core/auth.js';
export * from './core/backoff.js';
export * from './core/chatClient.js';
export * from './core/closeCodes.js';
export * from './core/connection.js';
export * from './core/constants.js';
export * from './core/emitter.js';
export * from './core/errors.js';
export * from './core/frames.js';
export * from './core/jwt.js';
export * from './core/lifecycle.js';
export type { Draft } from './core/outbox.js';
export * from './core/sequencer.js';
export * from './core/storage.js';
export * from './core/types.js';
export * from './core/uuid.js';
/** The server's documents as types, made by `npm run types`. */
export type * as Http from './generated/http.js';
export type * as Socket from './generated/socket.js';
