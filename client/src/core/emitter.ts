export type Unsubscribe = () => void;

/** Listeners by the name of an event; one that throws does not silence the others. */
export class Emitter<Events extends object> {
  private readonly entries = new Set<{ name: keyof Events; listener: (payload: never) => void }>();

  on<Name extends keyof Events>(name: Name, listener: (payload: Events[Name]) => void): Unsubscribe {
    // One function given twice is two subscriptions.
    const entry = { name, listener };
    this.entries.add(entry);
    return () => void this.entries.delete(entry);
  }

  emit<Name extends keyof Events>(name: Name, payload: Events[Name]): void {
    for (const { name: wanted, listener } of [...this.entries]) {
      try {
        if (wanted === name) (listener as (payload: Events[Name]) => void)(payload);
      } catch (error) {
        console.error(error);
      }
    }
  }
}
