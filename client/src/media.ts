export * from './core/media.js';
