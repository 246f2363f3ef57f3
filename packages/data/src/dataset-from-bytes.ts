import { PsgdError } from "@psgd/core";
import { createDataset } from "./create-dataset.js";
import type { Dataset, DatasetContent, Samples } from "./dataset.js";
import {
  ALIGNMENT,
  MAGIC,
  padded,
  PREFIX_BYTES,
  VERSION,
  type SamplesHeader,
} from "./dataset-to-bytes.js";

const MAX_HEADER_BYTES = 4096;

/**
 * Unpacks what `datasetToBytes` made, checking everything.
 * @param bytes - may come from anywhere; the dataset keeps views of it, so it must not change afterwards
 * @throws {PsgdError} DATA_CORRUPT
 */
export function datasetFromBytes(bytes: Uint8Array): Dataset {
  // Float32Array needs its data aligned; a frame cut out of a buffer may not be.
  const aligned = bytes.byteOffset % ALIGNMENT === 0 ? bytes : bytes.slice();
  const header = readHeader(aligned);
  let offset = header.bodyOffset;
  const take = (what: string, { type, length }: SamplesHeader["inputs"]): Samples["inputs"] => {
    const byteLength = type === "float32" ? length * 4 : length;
    if (offset + padded(byteLength) > aligned.length) {
      throw corrupt(what, `${padded(byteLength)} bytes`, aligned.length - offset);
    }
    const start = aligned.byteOffset + offset;
    offset += padded(byteLength);
    return type === "float32"
      ? new Float32Array(aligned.buffer, start, length)
      : new Uint8Array(aligned.buffer, start, length);
  };
  const samples = (part: "train" | "test"): Samples => {
    const { count, inputs, targets } = header[part];
    return {
      count,
      inputs: take(`${part} inputs`, inputs),
      targets: take(`${part} targets`, targets),
    };
  };
  const train = samples("train");
  const test = samples("test");
  if (offset !== aligned.length) throw corrupt("length", `${offset} bytes`, aligned.length);
  const { name, task, inputShape, outputSize, synthetic } = header;
  return createDataset({ name, task, inputShape, outputSize, synthetic, train, test });
}

type Header = Omit<DatasetContent, "train" | "test"> & {
  readonly train: SamplesHeader;
  readonly test: SamplesHeader;
  readonly bodyOffset: number;
};

function readHeader(bytes: Uint8Array): Header {
  if (bytes.length < PREFIX_BYTES) {
    throw corrupt("prefix", `${PREFIX_BYTES} bytes`, bytes.length);
  }
  const magic = new TextDecoder("latin1").decode(bytes.subarray(0, MAGIC.length));
  if (magic !== MAGIC) throw corrupt("first bytes", MAGIC, JSON.stringify(magic));
  const numbers = new DataView(bytes.buffer, bytes.byteOffset, PREFIX_BYTES);
  const version = numbers.getUint32(8, true);
  if (version !== VERSION) throw corrupt("version", String(VERSION), version);
  const headerBytes = numbers.getUint32(12, true);
  if (headerBytes > MAX_HEADER_BYTES || PREFIX_BYTES + headerBytes > bytes.length) {
    throw corrupt("header length", `at most ${MAX_HEADER_BYTES} bytes, all present`, headerBytes);
  }
  let header: unknown;
  try {
    const text = bytes.subarray(PREFIX_BYTES, PREFIX_BYTES + headerBytes);
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(text));
  } catch (cause) {
    throw corrupt("header", "JSON", String(cause), cause);
  }
  if (!isHeader(header)) {
    throw corrupt("header", "the description of a dataset", JSON.stringify(header).slice(0, 200));
  }
  return { ...header, bodyOffset: PREFIX_BYTES + padded(headerBytes) };
}

function isHeader(value: unknown): value is Omit<Header, "bodyOffset"> {
  if (!isRecord(value)) return false;
  const { name, task, inputShape, outputSize, synthetic, train, test } = value;
  return (
    typeof name === "string" &&
    (task === "classification" || task === "regression") &&
    Array.isArray(inputShape) &&
    inputShape.length <= 8 &&
    inputShape.every(isCount) &&
    isCount(outputSize) &&
    typeof synthetic === "boolean" &&
    isSamplesHeader(train) &&
    isSamplesHeader(test)
  );
}

function isSamplesHeader(value: unknown): value is SamplesHeader {
  return (
    isRecord(value) &&
    isCount(value["count"]) &&
    isArrayHeader(value["inputs"]) &&
    isArrayHeader(value["targets"])
  );
}

function isArrayHeader(value: unknown): boolean {
  return (
    isRecord(value) &&
    (value["type"] === "uint8" || value["type"] === "float32") &&
    isCount(value["length"])
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 1;
}

function corrupt(what: string, rule: string, got: number | string, cause?: unknown): PsgdError {
  return new PsgdError(
    "DATA_CORRUPT",
    `packed dataset, ${what}: expected ${rule}, got ${got}; send or store it again`,
    { cause },
  );
}
