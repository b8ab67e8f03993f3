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

/** Like the direct conversation, and beyond it: who wrote what, and who is writing. */
export default function ConversationGroup() {
  const { conversationId } = useLocalSearchParams<{ conversationId: string }>();
  const { accessToken } = useAuth();
  const { setWebsocket, setCurrentConversationId } = useChatScreen();
  const { messages, fetchMessages, applyFrame } = useMessages(conversationId);
  const [draft, setDraft] = useState('');
  const [typing, setTyping] = useState<ReadonlySet<number>>(new Set());

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
      const frame = JSON.parse(event.data) as ServerFrame;
      applyFrame(frame);
      if (frame.type === 'typing' && frame.conversation_uuid === conversationId) {
        setTyping((before) => {
          const after = new Set(before);
          if (frame.active) after.add(frame.user_id);
          else after.delete(frame.user_id);
          return after;
        });
      }
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

  const write = (text: string) => {
    setDraft(text);
    wsSend(JSON.stringify({ type: 'typing', conversation_uuid: conversationId, active: text !== '' }));
  };

  const sendDraft = () => {
    if (!draft.trim()) return;
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
          <Text>
            {item.sender?.username ?? 'deleted user'}: {item.deleted_at ? 'deleted' : item.content}
          </Text>
        )}
      />
      {typing.size > 0 && <Text testID="typing">{typing.size} writing…</Text>}
      <TextInput accessibilityLabel="message" value={draft} onChangeText={write} onSubmitEditing={sendDraft} />
      <Button title="Send" onPress={sendDraft} disabled={!wsIsConnected} />
    </View>
  );
}
