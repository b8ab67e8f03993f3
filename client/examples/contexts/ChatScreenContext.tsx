/** Which conversation is on the screen and over which socket: the global state that the two screens set. */
import { createContext, useContext, useMemo, useState, type ReactNode } from 'react';

interface ChatScreen {
  websocket: WebSocket | null;
  setWebsocket: (websocket: WebSocket | null) => void;
  currentConversationId: string | null;
  setCurrentConversationId: (id: string | null) => void;
}

const ChatScreenContext = createContext<ChatScreen | null>(null);

export function ChatScreenProvider({ children }: { children: ReactNode }) {
  const [websocket, setWebsocket] = useState<WebSocket | null>(null);
  const [currentConversationId, setCurrentConversationId] = useState<string | null>(null);
  const value = useMemo(
    () => ({ websocket, setWebsocket, currentConversationId, setCurrentConversationId }),
    [websocket, currentConversationId],
  );
  return <ChatScreenContext.Provider value={value}>{children}</ChatScreenContext.Provider>;
}

export function useChatScreen(): ChatScreen {
  const value = useContext(ChatScreenContext);
  if (!value) throw new Error('useChatScreen must be used below a ChatScreenProvider');
  return value;
}
