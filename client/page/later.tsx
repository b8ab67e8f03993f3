/** What few need at once is read when it is wanted: the first page stays small. */
import { lazy, Suspense, type ComponentType, type ReactNode } from 'react';

function later<Props extends object>(read: () => Promise<ComponentType<Props>>, meanwhile: ReactNode = null): ComponentType<Props> {
  const Read = lazy(() => read().then((part) => ({ default: part }))) as unknown as ComponentType<Props>;
  return (props) => (
    <Suspense fallback={meanwhile}>
      <Read {...props} />
    </Suspense>
  );
}

export function Blank() {
  return <main className="blank" aria-busy="true" />;
}

export const AudioPlayer = later(() => import('./AudioPlayer').then((module) => module.AudioPlayer));
export const EmojiPicker = later(() => import('./EmojiPicker').then((module) => module.EmojiPicker));
export const Forward = later(() => import('./Forward').then((module) => module.Forward));
export const Info = later(() => import('./Info').then((module) => module.Info));
export const Messenger = later(() => import('./Messenger').then((module) => module.Messenger), <Blank />);
export const MessageMenu = later(() => import('./MessageMenu').then((module) => module.MessageMenu));
export const NewChat = later(() => import('./NewChat').then((module) => module.NewChat));
export const Proof = later(() => import('./ui/Proof').then((module) => module.Proof));
export const Recorder = later(() => import('./Recorder').then((module) => module.Recorder));
export const Report = later(() => import('./Report').then((module) => module.Report));
export const Search = later(() => import('./Search').then((module) => module.Search));
export const Settings = later(() => import('./settings/Settings').then((module) => module.Settings));
export const Shortcuts = later(() => import('./Shortcuts').then((module) => module.Shortcuts));
export const SignIn = later(() => import('./SignIn').then((module) => module.SignIn), <Blank />);
export const Viewer = later(() => import('./Viewer').then((module) => module.Viewer));
