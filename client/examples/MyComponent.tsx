import { useWebSocketWithAuth } from '@/hooks/useWebSocketWithAuth';

export function MyComponent() {
  const { send, isConnected } = useWebSocketWithAuth({
    url: 'wss://your-websocket-url',
    onMessage: (event) => {
      const data = JSON.parse(event.data);
      console.log(data);
    },
  });

  const handleSendMessage = () => {
    if (isConnected) {
      send(JSON.stringify({ type: 'message', content: 'Hello!' }));
    }
  };

  return (
    <div>
      <button onClick={handleSendMessage} disabled={!isConnected}>
        Envoyer
      </button>
    </div>
  );
}
