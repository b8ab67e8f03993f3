export * from './contexts/AuthContext.js';
export * from './hooks/useWebSocketWithAuth.js';
