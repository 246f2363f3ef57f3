/** One entry of a store. */
export interface StoreEntry {
  readonly key: string;
  readonly bytes: number;
}

/**
 * Files, by key: segments of letters, digits and `._-()@ ` joined by `/`, none of them `.` or `..`.
 * Every method rejects with STORE_FAILED if the medium does, naming the key and the reason (a full disk, for one).
 */
export interface Store {
  /** The content, or `undefined` if there is none. */
  read(key: string): Promise<Uint8Array | undefined>;
  /**
   * Writes all or nothing: a reader sees the old content or the new.
   * @throws {PsgdError} STORE_EXISTS if `exclusive` and the key is there, whoever else writes at that moment
   */
  write(key: string, content: Uint8Array, options?: { exclusive?: boolean }): Promise<void>;
  /** Adds to the end of what is there. */
  append(key: string, content: Uint8Array): Promise<void>;
  /** The entries whose keys start with `prefix`, sorted by key. */
  list(prefix: string): Promise<readonly StoreEntry[]>;
  /** Removes the entry and everything below `key/`; harmless if there is nothing. */
  remove(key: string): Promise<void>;
}
