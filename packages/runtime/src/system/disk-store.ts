import { randomBytes } from "node:crypto";
import {
  appendFile,
  link,
  mkdir,
  open,
  readFile,
  readdir,
  rename,
  rm,
  stat,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { PsgdError, toErrorRecord, type Store, type StoreEntry } from "@psgd/core";

const SEGMENT = /^[\w.@()+ -]+$/;
const TEMPORARY = ".tmp-";

/** A store in a directory of this machine, made when it is first written to. */
export function diskStore(root: string): Store {
  return new DiskStore(root);
}

class DiskStore implements Store {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  async read(key: string): Promise<Uint8Array | undefined> {
    const path = this.#path(key);
    try {
      const bytes = await readFile(path);
      return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    } catch (cause) {
      if (systemCode(cause) === "ENOENT") return undefined;
      throw failed("read", path, cause);
    }
  }

  async write(
    key: string,
    content: Uint8Array,
    options: { exclusive?: boolean } = {},
  ): Promise<void> {
    const path = this.#path(key);
    // Written beside and moved: nobody sees half a file, and a full disk leaves the old one.
    const temporary = join(dirname(path), `${TEMPORARY}${randomBytes(8).toString("hex")}`);
    let isWritten = false;
    try {
      await mkdir(dirname(path), { recursive: true });
      const file = await open(temporary, "wx");
      try {
        await file.writeFile(content);
        await file.sync();
      } finally {
        await file.close();
      }
      isWritten = true;
      if (options.exclusive === true) await link(temporary, path);
      else await rename(temporary, path);
    } catch (cause) {
      // Before that, it says that a file stands where a directory is to be.
      if (isWritten && options.exclusive === true && systemCode(cause) === "EEXIST") {
        throw new PsgdError(
          "STORE_EXISTS",
          `${path}: expected no file of this name, got one; it is not overwritten`,
          { cause },
        );
      }
      throw failed("write", path, cause);
    } finally {
      await rm(temporary, { force: true }).catch(() => {
        // The write's own error, if there is one, says more than that its remains cannot be removed.
      });
    }
  }

  async append(key: string, content: Uint8Array): Promise<void> {
    const path = this.#path(key);
    try {
      await mkdir(dirname(path), { recursive: true });
      await appendFile(path, content);
    } catch (cause) {
      throw failed("write", path, cause);
    }
  }

  async list(prefix: string): Promise<readonly StoreEntry[]> {
    const directory = prefix.slice(0, prefix.lastIndexOf("/") + 1);
    if (directory !== "") this.#path(directory.slice(0, -1));
    const entries: StoreEntry[] = [];
    await this.#walk(directory, prefix, entries);
    return entries.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  async remove(key: string): Promise<void> {
    const path = this.#path(key);
    try {
      await rm(path, { recursive: true, force: true });
    } catch (cause) {
      throw failed("remove", path, cause);
    }
  }

  async #walk(directory: string, prefix: string, entries: StoreEntry[]): Promise<void> {
    const path = join(this.#root, directory);
    let names;
    try {
      names = await readdir(path, { withFileTypes: true });
    } catch (cause) {
      if (systemCode(cause) === "ENOENT") return;
      throw failed("list", path, cause);
    }
    for (const entry of names) {
      const key = `${directory}${entry.name}`;
      if (entry.isDirectory()) {
        if (`${key}/`.startsWith(prefix) || prefix.startsWith(`${key}/`))
          await this.#walk(`${key}/`, prefix, entries);
      } else if (key.startsWith(prefix) && !entry.name.startsWith(TEMPORARY)) {
        const size = await stat(join(this.#root, key)).then(
          (found) => found.size,
          () => undefined,
        );
        if (size !== undefined) entries.push({ key, bytes: size });
      }
    }
  }

  /** Keys come from the network too: one that leaves the root is refused. */
  #path(key: string): string {
    const segments = key.split("/");
    for (const segment of segments) {
      if (!SEGMENT.test(segment) || segment === "." || segment === "..") {
        throw new PsgdError(
          "STORE_FAILED",
          `key: expected names of letters, digits and \`._-@()+ \` joined by /, got ${JSON.stringify(key)}`,
        );
      }
    }
    return join(this.#root, ...segments);
  }
}

function failed(verb: string, path: string, cause: unknown): PsgdError {
  const remedy = systemCode(cause) === "ENOSPC" ? "; the disk is full, free some space" : "";
  return new PsgdError(
    "STORE_FAILED",
    `${path}: expected to ${verb} it, got ${toErrorRecord(cause).message}${remedy}`,
    { cause },
  );
}

function systemCode(cause: unknown): unknown {
  return typeof cause === "object" && cause !== null && "code" in cause ? cause.code : undefined;
}
