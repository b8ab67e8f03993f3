export * from './core/accounts.js';
