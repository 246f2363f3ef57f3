import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { isPsgdError, PsgdError } from "@psgd/core";
import { createDataset } from "../create-dataset.js";
import type { Samples } from "../dataset.js";
import { parseIdx } from "../idx.js";
import type { DatasetSource, LoadOptions } from "./source.js";

/** One file of a dataset, as it is uncompressed. */
interface IdxFile {
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** A dataset of labelled images in four IDX files. */
export interface IdxFiles {
  readonly name: string;
  readonly description: string;
  readonly classCount: number;
  readonly trainImages: IdxFile;
  readonly trainLabels: IdxFile;
  readonly testImages: IdxFile;
  readonly testLabels: IdxFile;
  /** Addresses below which `<file>.gz` lies, tried in this order. */
  readonly mirrors: readonly string[];
}

const unzip = promisify(gunzip);

/**
 * A source that reads `<name>/<file>` or `<name>/<file>.gz` from the data directory, else downloads and keeps them.
 * Its `load` rejects with DATA_CORRUPT if a file is not the known one, and with DATA_UNAVAILABLE if it is nowhere.
 */
export function idxFilesSource(files: IdxFiles): DatasetSource {
  return {
    description: files.description,
    load: async (options) => {
      const read = (file: IdxFile): Promise<Uint8Array> => readFile(files, file, options);
      const train = samples(files.trainImages, await read(files.trainImages), {
        file: files.trainLabels,
        content: await read(files.trainLabels),
      });
      const test = samples(files.testImages, await read(files.testImages), {
        file: files.testLabels,
        content: await read(files.testLabels),
      });
      return createDataset({
        name: files.name,
        task: "classification",
        inputShape: train.rowShape,
        outputSize: files.classCount,
        train: train.samples,
        test: test.samples,
        synthetic: false,
      });
    },
  };
}

function samples(
  imageFile: IdxFile,
  imageContent: Uint8Array,
  labels: { file: IdxFile; content: Uint8Array },
): { samples: Samples; rowShape: readonly number[] } {
  const images = parseIdx(imageContent, imageFile.file, 3);
  const targets = parseIdx(labels.content, labels.file.file, 1).values;
  const [count = 0, ...rowShape] = images.shape;
  return { samples: { count, inputs: images.values, targets }, rowShape };
}

async function readFile(files: IdxFiles, file: IdxFile, options: LoadOptions): Promise<Uint8Array> {
  for (const key of [`${files.name}/${file.file}`, `${files.name}/${file.file}.gz`]) {
    const stored = await options.store.read(key);
    if (stored === undefined) continue;
    const { content, fault } = await verified(stored, file);
    if (content !== undefined) return content;
    throw new PsgdError(
      "DATA_CORRUPT",
      `data file \`${key}\` in ${options.directory}: ${fault}; ` +
        "remove the file to have it downloaded again, or replace it",
    );
  }
  return download(files, file, options);
}

async function download(files: IdxFiles, file: IdxFile, options: LoadOptions): Promise<Uint8Array> {
  const name = `${file.file}.gz`;
  const tried: string[] = [];
  for (const mirror of options.download === undefined ? [] : files.mirrors) {
    const url = `${mirror}/${name}`;
    try {
      const fetched = await options.download!(url, (receivedBytes, totalBytes) =>
        options.onProgress?.({ file: name, receivedBytes, totalBytes }),
      );
      const { content, fault } = await verified(fetched, file);
      if (content !== undefined) {
        await keep(`${files.name}/${name}`, fetched, options);
        return content;
      }
      tried.push(`${url} (${fault})`);
    } catch (error) {
      tried.push(`${url} (${error instanceof Error ? error.message : String(error)})`);
    }
  }
  const attempts = tried.length === 0 ? "downloading is off" : `tried ${tried.join(", ")}`;
  throw new PsgdError(
    "DATA_UNAVAILABLE",
    `dataset \`${files.name}\`: expected \`${file.file}\` or \`${name}\` in ${options.directory}/${files.name}, ` +
      `got neither; ${attempts}; put the file there, or name the directory that has it with PSGD_DATA_DIR`,
    { details: { dataset: files.name, file: file.file, tried } },
  );
}

/** A data directory that cannot be written costs the next run a download, not this run its data. */
async function keep(key: string, content: Uint8Array, options: LoadOptions): Promise<void> {
  try {
    await options.store.write(key, content);
  } catch (error) {
    if (!isPsgdError(error, "STORE_FAILED")) throw error;
    options.log.warn(`${key} was downloaded but cannot be kept: ${error.message}`);
  }
}

/** The uncompressed content if it is the known one, else what is wrong with it. */
async function verified(
  stored: Uint8Array,
  { bytes, sha256 }: IdxFile,
): Promise<{ content: Uint8Array; fault?: never } | { content?: never; fault: string }> {
  let content = stored;
  if (stored[0] === 0x1f && stored[1] === 0x8b) {
    try {
      // A file that unpacks to more than the known size is not the known file.
      content = await unzip(stored, { maxOutputLength: bytes });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return { fault: `expected a gzip file of ${bytes} bytes unpacked, got: ${reason}` };
    }
  }
  const got = createHash("sha256").update(content).digest("hex");
  if (got === sha256) return { content };
  return {
    fault: `expected SHA-256 ${sha256} of ${bytes} uncompressed bytes, got ${got} of ${content.length}`,
  };
}
