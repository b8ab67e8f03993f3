/** `useLocalSearchParams` of expo-router, fed by the tests. */
import { createContext, useContext } from 'react';

export const Params = createContext<Record<string, string>>({});

export function useLocalSearchParams<Shape>(): Partial<Shape> {
  return useContext(Params) as Partial<Shape>;
}
