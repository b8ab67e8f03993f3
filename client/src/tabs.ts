export * from './core/tabs.js';
