import type { Store } from "@psgd/core";
import { PACKAGES, packageKey } from "./worker-store.js";

/** Packages stay for the next job up to so many bytes together. */
const KEPT_BYTES = 2 * 1024 ** 3;

/**
 * The packages of a worker: those in use, and those that may come again. Whatever touches one waits for its turn, so
 * that none is removed between being found and being used.
 */
export class PackageShelf {
  readonly #store: Store;
  readonly #isInUse: (digest: string) => boolean;
  readonly #keptBytes: number;
  /** By digest: the last that waits for it. */
  readonly #turns = new Map<string, Promise<void>>();
  /** Digests, the one used last at the end; what an earlier process used is not among them. */
  readonly #used = new Set<string>();

  constructor(store: Store, isInUse: (digest: string) => boolean, keptBytes = KEPT_BYTES) {
    this.#store = store;
    this.#isInUse = isInUse;
    this.#keptBytes = keptBytes;
  }

  /** Uses a package, with nobody else at it meanwhile. */
  async use(digest: string, work: () => Promise<void>): Promise<void> {
    this.#used.delete(digest);
    this.#used.add(digest);
    await this.#inTurn(digest, work);
  }

  /** Removes a package, unless it is in use. */
  async drop(digest: string): Promise<void> {
    await this.#inTurn(digest, async () => {
      if (this.#isInUse(digest)) return;
      await this.#store.remove(packageKey(digest));
      this.#used.delete(digest);
    });
  }

  /** Removes what has not been used for longest, until the rest is within bounds; what is in use stays. */
  async prune(): Promise<void> {
    const entries = await this.#store.list(PACKAGES);
    let bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0);
    const order = [...this.#used];
    const held = entries
      .map((entry) => ({ ...entry, digest: entry.key.slice(PACKAGES.length) }))
      .sort((a, b) => order.indexOf(a.digest) - order.indexOf(b.digest));
    for (const entry of held) {
      if (bytes <= this.#keptBytes) return;
      if (this.#isInUse(entry.digest)) continue;
      await this.drop(entry.digest);
      bytes -= entry.bytes;
    }
  }

  async #inTurn(digest: string, work: () => Promise<void>): Promise<void> {
    const before = this.#turns.get(digest);
    const done = (async () => {
      // Its own caller hears of its failure.
      await before?.catch(() => {});
      await work();
    })();
    this.#turns.set(digest, done);
    try {
      await done;
    } finally {
      if (this.#turns.get(digest) === done) this.#turns.delete(digest);
    }
  }
}
