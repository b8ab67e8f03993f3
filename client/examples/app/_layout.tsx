/** The root of an Expo app: who is signed in, with the tokens in the phone's keychain. `<Slot />` is the screen. */
import { Slot } from 'expo-router';
import * as SecureStore from 'expo-secure-store';
import { AppState } from 'react-native';

import { AuthProvider, nativeLifecycle, secureStorage } from '@/react-native';
import { server } from '../config';
import { ChatScreenProvider } from '../contexts/ChatScreenContext';

const storage = secureStorage(SecureStore);
const lifecycle = nativeLifecycle({ AppState });

export default function RootLayout() {
  return (
    <AuthProvider baseUrl={server.baseUrl} storage={storage} lifecycle={lifecycle} deviceFingerprint="expo-example">
      <ChatScreenProvider>
        <Slot />
      </ChatScreenProvider>
    </AuthProvider>
  );
}
