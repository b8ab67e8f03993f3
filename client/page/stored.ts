/** What the page keeps beside the sign-in. Where the browser keeps nothing (denied, or full), the page goes on without. */
function kept(storage: () => Storage) {
  const attempt = <Result>(work: (items: Storage) => Result): Result | null => {
    try {
      return work(storage());
    } catch {
      return null;
    }
  };
  return {
    getItem: (key: string): string | null => attempt((items) => items.getItem(key)),
    setItem: (key: string, value: string): void => void attempt((items) => items.setItem(key, value)),
    removeItem: (key: string): void => void attempt((items) => items.removeItem(key)),
    clear: (): void => void attempt((items) => items.clear()),
  };
}

export const ofBrowser = kept(() => localStorage);
export const ofWindow = kept(() => sessionStorage);
