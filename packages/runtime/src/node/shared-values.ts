interface Entry {
  readonly made: Promise<Disposable>;
  holderCount: number;
}

/** A value that others may hold too. */
export interface Held<T> {
  readonly value: T;
  /** Called once, by who holds it; the last one disposes of it. */
  release(): void;
}

/**
 * What nodes on one event loop have in common and need once only: data nobody writes into, and compiled plans, whose
 * runs begin and end without a turn of the loop in between.
 */
export class SharedValues {
  readonly #entries = new Map<string, Entry>();

  /** The value of this key; made now if nobody holds it. */
  async hold<T extends Disposable>(key: string, make: () => Promise<T>): Promise<Held<T>> {
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = { made: make(), holderCount: 0 };
      this.#entries.set(key, entry);
    }
    const held = entry;
    held.holderCount++;
    const release = (dispose: () => void): void => {
      if (--held.holderCount > 0) return;
      this.#entries.delete(key);
      dispose();
    };
    try {
      const value = (await held.made) as T;
      return { value, release: () => release(() => value[Symbol.dispose]()) };
    } catch (error) {
      release(() => {});
      throw error;
    }
  }
}
