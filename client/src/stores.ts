export * from './core/stores.js';
