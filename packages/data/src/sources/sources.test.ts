import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { isPsgdError, PsgdError, SILENT, type Store } from "@psgd/core";
import { describe, expect, test } from "vitest";
import { loadDataset } from "../load-dataset.js";
import { idxFilesSource, type IdxFiles } from "./idx-files.js";
import type { Download, LoadOptions } from "./source.js";

/** A store in memory; a read-only one refuses to write, as a disk does. */
function memoryStore(
  files: Record<string, Uint8Array>,
  readOnly = false,
): Store & { readonly files: Map<string, Uint8Array> } {
  const content = new Map(Object.entries(files));
  return {
    files: content,
    read: async (key) => content.get(key),
    write: async (key, bytes) => {
      if (readOnly) throw new PsgdError("STORE_FAILED", `\`${key}\`: read-only file system`);
      content.set(key, bytes);
    },
    append: async () => {},
    list: async () => [],
    remove: async () => {},
  };
}

function options(store: Store, change: Partial<LoadOptions> = {}): LoadOptions {
  return { store, directory: "/data", log: SILENT, ...change };
}

const never: Download = async () => {
  throw new Error("nothing was to be downloaded");
};

/** Four IDX files of 2 + 1 images of one row of two pixels. */
const contents = {
  "train-images": Uint8Array.of(0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 10, 20, 30, 40),
  "train-labels": Uint8Array.of(0, 0, 8, 1, 0, 0, 0, 2, 1, 0),
  "test-images": Uint8Array.of(0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 50, 60),
  "test-labels": Uint8Array.of(0, 0, 8, 1, 0, 0, 0, 1, 1),
};
type FileName = keyof typeof contents;

function known(file: FileName): { file: string; bytes: number; sha256: string } {
  const bytes = contents[file];
  return { file, bytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") };
}

const description: IdxFiles = {
  name: "tiny",
  description: "three tiny images",
  classCount: 2,
  trainImages: known("train-images"),
  trainLabels: known("train-labels"),
  testImages: known("test-images"),
  testLabels: known("test-labels"),
  mirrors: ["https://one.example/tiny", "https://two.example/tiny"],
};
const tiny = idxFilesSource(description);

/** All files, as they lie in a data directory. */
function stored(...names: string[]): Record<string, Uint8Array> {
  return Object.fromEntries(
    names.map((name) => {
      const content = contents[name.replace(".gz", "") as FileName];
      return [`tiny/${name}`, name.endsWith(".gz") ? gzipSync(content) : content];
    }),
  );
}
const ALL_GZIPPED = ["train-images.gz", "train-labels.gz", "test-images.gz", "test-labels.gz"];

describe("IDX files in the data directory", () => {
  test.each([
    ["uncompressed", ["train-images", "train-labels", "test-images", "test-labels"]],
    ["gzipped", ALL_GZIPPED],
    ["mixed", ["train-images", "train-labels.gz", "test-images.gz", "test-labels"]],
  ])("are read %s, from a read-only directory without a network", async (_, names) => {
    const dataset = await tiny.load(
      options(memoryStore(stored(...names), true), { download: never }),
    );
    expect(dataset).toMatchObject({
      name: "tiny",
      task: "classification",
      inputShape: [1, 2],
      outputSize: 2,
      synthetic: false,
      train: { count: 2 },
      test: { count: 1 },
    });
    expect([...dataset.train.inputs, ...dataset.train.targets]).toEqual([10, 20, 30, 40, 1, 0]);
    expect([...dataset.test.inputs, ...dataset.test.targets]).toEqual([50, 60, 1]);
  });

  test("that are not the known ones are refused with both checksums and what to do", async () => {
    const changed = contents["train-labels"].slice();
    changed[9] = 1;
    const store = memoryStore({ ...stored(...ALL_GZIPPED), "tiny/train-labels": changed });
    const got = createHash("sha256").update(changed).digest("hex");
    await expect(tiny.load(options(store, { download: never }))).rejects.toThrow(
      `DATA_CORRUPT: data file \`tiny/train-labels\` in /data: expected SHA-256 ${known("train-labels").sha256} ` +
        `of 10 uncompressed bytes, got ${got} of 10; remove the file to have it downloaded again, or replace it`,
    );
  });

  test.each<[string, Uint8Array]>([
    ["cut off", gzipSync(contents["train-images"]).subarray(0, 25)],
    ["garbled", Uint8Array.of(0x1f, 0x8b, 1, 2, 3, 4, 5, 6, 7, 8)],
    ["a bomb", gzipSync(new Uint8Array(50_000_000))],
    ["empty", new Uint8Array()],
  ])("whose gzip is %s are refused", async (_, bytes) => {
    const store = memoryStore({ ...stored(...ALL_GZIPPED), "tiny/train-images.gz": bytes });
    await expect(tiny.load(options(store))).rejects.toThrow(
      /^DATA_CORRUPT: data file `tiny\/train-images\.gz` in \/data: expected/,
    );
  });
});

describe("IDX files that are missing", () => {
  /** A mirror that serves what is right, or something else. */
  const serve =
    (answer: (url: string) => Uint8Array): Download =>
    async (url, onProgress) => {
      const bytes = answer(url);
      onProgress(0, bytes.length);
      onProgress(bytes.length, bytes.length);
      return bytes;
    };
  const right = (url: string): Uint8Array =>
    gzipSync(contents[url.replace(/^.*\/|\.gz$/g, "") as FileName]);

  test("are downloaded, reported while they arrive, and found the next time", async () => {
    const store = memoryStore({});
    const progress: string[] = [];
    const urls: string[] = [];
    const dataset = await tiny.load(
      options(store, {
        download: serve((url) => {
          urls.push(url);
          return right(url);
        }),
        onProgress: ({ file, receivedBytes, totalBytes }) =>
          progress.push(`${file} ${receivedBytes === totalBytes ? "done" : receivedBytes}`),
      }),
    );
    expect(urls.sort()).toEqual(
      [...ALL_GZIPPED].sort().map((name) => `https://one.example/tiny/${name}`),
    );
    expect(progress).toEqual(
      expect.arrayContaining(ALL_GZIPPED.flatMap((name) => [`${name} 0`, `${name} done`])),
    );
    const again = await tiny.load(options(store, { download: never }));
    expect(again.sha256).toBe(dataset.sha256);
  });

  test("are taken from the next mirror if the first is down or serves something else", async () => {
    for (const faulty of [
      (): Uint8Array => {
        throw new Error("503");
      },
      (): Uint8Array => new TextEncoder().encode("<html>please log in</html>"),
    ]) {
      const store = memoryStore({});
      const download = serve((url) => (url.includes("one.example") ? faulty() : right(url)));
      const dataset = await tiny.load(options(store, { download }));
      expect(dataset.train.count).toBe(2);
      const kept = store.files.get("tiny/train-images.gz")!;
      expect(kept).toEqual(right("/train-images.gz"));
    }
  });

  test("serve this run, with a warning, if they cannot be kept", async () => {
    const warnings: string[] = [];
    const log = { ...SILENT, warn: (message: string) => void warnings.push(message) };
    const dataset = await tiny.load(
      options(memoryStore({}, true), { download: serve(right), log }),
    );
    expect(dataset.test.count).toBe(1);
    expect(warnings).toHaveLength(4);
    expect(warnings[0]).toMatch(/cannot be kept: STORE_FAILED: .*read-only file system/);
  });

  test("and cannot be had give one sentence with the directory and the mirrors tried", async () => {
    const store = memoryStore(stored("train-images"));
    const download: Download = async () => {
      throw new Error("getaddrinfo ENOTFOUND");
    };
    await expect(tiny.load(options(store, { download }))).rejects.toThrow(
      "DATA_UNAVAILABLE: dataset `tiny`: expected `train-labels` or `train-labels.gz` in /data/tiny, got neither; " +
        "tried https://one.example/tiny/train-labels.gz (getaddrinfo ENOTFOUND), " +
        "https://two.example/tiny/train-labels.gz (getaddrinfo ENOTFOUND); put the file there, " +
        "or name the directory that has it with PSGD_DATA_DIR",
    );
    await expect(tiny.load(options(store))).rejects.toThrow(
      /^DATA_UNAVAILABLE.*downloading is off/,
    );
  });

  test("and cannot be read report what the store reports", async () => {
    const store: Store = {
      ...memoryStore({}),
      read: async (key) => {
        throw new PsgdError("STORE_FAILED", `\`${key}\`: permission denied`);
      },
    };
    const error: unknown = await tiny.load(options(store)).catch((reason: unknown) => reason);
    expect(isPsgdError(error, "STORE_FAILED")).toBe(true);
  });
});

describe("loadDataset", () => {
  test.each(["MNIST", "", "constructor", "__proto__"])("refuses the name %j", async (name) => {
    await expect(loadDataset(name, options(memoryStore({})))).rejects.toThrow(
      "SETTINGS_INVALID: Input dataset type cannot find any matches. " +
        `dataset: expected one of mnist, digits, simlin, markov, got ${JSON.stringify(name)}`,
    );
  });

  test("makes the synthetic datasets without files or network, by seed", async () => {
    const load = (seed?: number): Promise<{ synthetic: boolean; sha256: string }> =>
      loadDataset("simlin", options(memoryStore({}), seed === undefined ? {} : { seed }));
    expect((await load()).synthetic).toBe(true);
    expect((await load()).sha256).toBe((await load(0)).sha256);
    expect((await load(1)).sha256).not.toBe((await load(0)).sha256);
  });

  const dataDirectory = process.env["PSGD_DATA_DIR"];
  test.skipIf(dataDirectory === undefined)(
    "reads the real MNIST (left out where PSGD_DATA_DIR is not set)",
    async () => {
      const store: Store = {
        ...memoryStore({}, true),
        read: (key) => readFile(join(dataDirectory!, key)).catch(() => undefined),
      };
      const { train, test: testSamples, inputShape } = await loadDataset("mnist", options(store));
      expect([train.count, testSamples.count]).toEqual([60_000, 10_000]);
      expect(inputShape).toEqual([28, 28]);
      // Published facts: the mean pixel is 0.1307 of 255, and there are so many of each digit.
      const sum = (train.inputs as Uint8Array).reduce((total, pixel) => total + pixel, 0);
      expect(sum / train.inputs.length).toBeCloseTo(33.318, 2);
      const counts = new Array<number>(10).fill(0);
      for (const label of train.targets) counts[label]!++;
      expect(counts).toEqual([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
      expect([...train.targets.subarray(0, 5)]).toEqual([5, 0, 4, 1, 9]);
    },
  );
});
