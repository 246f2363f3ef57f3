import { PsgdError, type Store, type StoreEntry } from "@psgd/core";

/** A store in memory; writes can be made to wait or to fail, as on a slow or full disk. */
export class MemoryStore implements Store {
  readonly entries = new Map<string, Uint8Array>();
  /** Awaited before each write; what it throws is the write's error. */
  beforeWrite: (key: string) => Promise<void> | void = () => {};

  async read(key: string): Promise<Uint8Array | undefined> {
    return this.entries.get(key)?.slice();
  }

  async write(
    key: string,
    content: Uint8Array,
    options: { exclusive?: boolean } = {},
  ): Promise<void> {
    await this.beforeWrite(key);
    if (options.exclusive === true && this.entries.has(key))
      throw new PsgdError("STORE_EXISTS", `${key}: expected no entry, got one`);
    this.entries.set(key, content.slice());
  }

  async append(key: string, content: Uint8Array): Promise<void> {
    await this.beforeWrite(key);
    this.entries.set(key, Buffer.concat([this.entries.get(key) ?? new Uint8Array(), content]));
  }

  async list(prefix: string): Promise<readonly StoreEntry[]> {
    return [...this.entries]
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, content]) => ({ key, bytes: content.length }))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  async remove(key: string): Promise<void> {
    for (const entry of [...this.entries.keys()])
      if (entry === key || entry.startsWith(`${key}/`)) this.entries.delete(entry);
  }
}
