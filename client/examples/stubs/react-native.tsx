/**
 * As much of React Native as the example screens use, made of HTML: it lets them be type-checked and run in the tests
 * of this package, which has no phone. In an Expo app the real module takes its place.
 */
import type { ReactNode } from 'react';

interface Common {
  children?: ReactNode;
  testID?: string;
  style?: { flex?: number; padding?: number }; // of the documents' screens; nothing is drawn here
}

export function View({ children, testID }: Common) {
  return <div data-testid={testID}>{children}</div>;
}

export function Text({ children, testID }: Common) {
  return <span data-testid={testID}>{children}</span>;
}

export function TextInput(props: {
  value: string;
  onChangeText: (text: string) => void;
  onSubmitEditing?: () => void;
  accessibilityLabel?: string;
  secureTextEntry?: boolean;
  placeholder?: string;
  autoCapitalize?: 'none';
}) {
  return (
    <input
      aria-label={props.accessibilityLabel}
      placeholder={props.placeholder}
      type={props.secureTextEntry ? 'password' : 'text'}
      value={props.value}
      onChange={(event) => props.onChangeText(event.target.value)}
      onKeyDown={(event) => event.key === 'Enter' && props.onSubmitEditing?.()}
    />
  );
}

export function Button(props: { title: string; onPress: () => void; disabled?: boolean }) {
  return (
    <button onClick={props.onPress} disabled={props.disabled}>
      {props.title}
    </button>
  );
}

export function FlatList<Item>(props: {
  data: readonly Item[];
  keyExtractor: (item: Item) => string;
  renderItem: (row: { item: Item }) => ReactNode;
}) {
  return (
    <ul>
      {props.data.map((item) => (
        <li key={props.keyExtractor(item)}>{props.renderItem({ item })}</li>
      ))}
    </ul>
  );
}

export const AppState = {
  currentState: 'active',
  addEventListener: (_type: 'change', _listener: (state: string) => void) => ({ remove: () => {} }),
};
