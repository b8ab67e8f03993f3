import { useLocalSearchParams } from 'expo-router';
import { useEffect, useState } from 'react';
import { Button, FlatList, Text, TextInput, View } from 'react-native';

import { useAuth } from '@/contexts/AuthContext';
import type { ServerFrame } from '@/core/frames';
import { uuid4 } from '@/core/uuid';
import { useWebSocketWithAuth } from '@/hooks/useWebSocketWithAuth';
import { server } from '../../config';
import { useChatScreen } from '../../contexts/ChatScreenContext';
import { useMessages } from '../../hooks/useMessages';

export default function ConversationDirect() {
  const { conversationId } = useLocalSearchParams<{ conversationId: string }>();
  const { accessToken, user } = useAuth();
  const { setWebsocket, setCurrentConversationId } = useChatScreen();
  const { messages, fetchMessages, applyFrame } = useMessages(conversationId);
  const [draft, setDraft] = useState('');

  const {
    websocket: localWebsocket,
    send: wsSend,
    isConnected: wsIsConnected,
    connect: wsConnect,
    disconnect: wsDisconnect,
  } = useWebSocketWithAuth({
    url: server.socketUrl,
    autoConnect: false,
    onOpen: () => {
      setWebsocket(localWebsocket);
      setCurrentConversationId(conversationId as string);

      if (conversationId) {
        wsSend(JSON.stringify({ type: 'mark_as_seen', conversation_uuid: conversationId }));
      }
    },
    onMessage: (event) => {
      applyFrame(JSON.parse(event.data) as ServerFrame);
    },
    onError: (error) => {
      console.error('WebSocket error:', error);
    },
    onClose: () => {
      setWebsocket(null);
      setCurrentConversationId(null);
    },
  });

  useEffect(() => {
    if (conversationId && accessToken) {
      void fetchMessages();
      wsConnect();
    }

    return () => {
      wsDisconnect();
    };
  }, [conversationId, accessToken]);

  const sendDraft = () => {
    if (!draft.trim()) return;
    // The id makes a repeat harmless: the server stores the message once.
    wsSend(
      JSON.stringify({ type: 'message', conversation_uuid: conversationId, content: draft, client_msg_id: uuid4() }),
    );
    setDraft('');
  };

  return (
    <View>
      <Text testID="state">{wsIsConnected ? 'connected' : 'connecting'}</Text>
      <FlatList
        data={messages}
        keyExtractor={(message) => message.uuid}
        renderItem={({ item }) => (
          <Text testID={item.sender?.id === user?.id ? 'mine' : 'theirs'}>
            {item.deleted_at ? 'deleted' : item.content}
          </Text>
        )}
      />
      <TextInput accessibilityLabel="message" value={draft} onChangeText={setDraft} onSubmitEditing={sendDraft} />
      <Button title="Send" onPress={sendDraft} disabled={!wsIsConnected} />
    </View>
  );
}
