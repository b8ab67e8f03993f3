'use client';

export * from './contexts/AuthContext.js';
export * from './contexts/ChatContext.js';
export * from './hooks/chat.js';
export * from './hooks/useWebSocketWithAuth.js';
