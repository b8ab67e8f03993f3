import { useAuth } from 'alviar-client/react-native';
import { Conversation, Login } from '../chat';

export default function Home() {
  return useAuth().isAuthenticated ? <Conversation uuid="b1946ac9-2bf6-4dd0-9d0e-1d1f6b0c8b8a" /> : <Login />;
}
