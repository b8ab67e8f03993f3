/** `useLocalSearchParams` and `Slot` of expo-router, fed by the tests. */
import { createContext, useContext, type ReactNode } from 'react';

export const Params = createContext<Record<string, string>>({});

export function useLocalSearchParams<Shape>(): Partial<Shape> {
  return useContext(Params) as Partial<Shape>;
}

/** What the router would show: a router's layout gets no children. */
export const Route = createContext<ReactNode>(null);

export function Slot() {
  return <>{useContext(Route)}</>;
}
