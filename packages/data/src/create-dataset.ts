import { createHash } from "node:crypto";
import { PsgdError } from "@psgd/core";
import { rowSize, type Dataset, type DatasetContent } from "./dataset.js";
import { packedParts } from "./dataset-to-bytes.js";

/** Labels are stored as bytes. */
const MAX_CLASS_COUNT = 256;

/**
 * Checks the content and names it by its hash.
 * @throws {PsgdError} DATA_CORRUPT if lengths, labels or values do not fit the description
 */
export function createDataset(content: DatasetContent): Dataset {
  const inputSize = rowSize(content.inputShape);
  requireWhole(content, "row size", inputSize);
  requireWhole(content, "output size", content.outputSize);
  if (content.task === "classification" && content.outputSize > MAX_CLASS_COUNT) {
    throw corrupt(content, "output size", `at most ${MAX_CLASS_COUNT} classes`, content.outputSize);
  }
  for (const part of ["train", "test"] as const) checkSamples(content, part, inputSize);
  const hash = createHash("sha256");
  for (const bytes of packedParts(content)) hash.update(bytes);
  return { ...content, sha256: hash.digest("hex") };
}

function checkSamples(content: DatasetContent, part: "train" | "test", inputSize: number): void {
  const { count, inputs, targets } = content[part];
  requireWhole(content, `${part} count`, count);
  requireSize(content, `${part} inputs`, inputs.length, count * inputSize);
  if (inputs instanceof Float32Array) requireFinite(content, `${part} inputs`, inputs);
  if (content.task === "regression") {
    requireSize(content, `${part} targets`, targets.length, count * content.outputSize);
    if (!(targets instanceof Float32Array)) {
      throw corrupt(content, `${part} targets`, "floats", "bytes");
    }
    requireFinite(content, `${part} targets`, targets);
    return;
  }
  requireSize(content, `${part} labels`, targets.length, count);
  if (!(targets instanceof Uint8Array)) {
    throw corrupt(content, `${part} labels`, "bytes", "floats");
  }
  const bad = targets.findIndex((label) => label >= content.outputSize);
  if (bad >= 0) {
    const rule = `labels 0..${content.outputSize - 1}`;
    throw corrupt(content, `${part} labels`, rule, `${targets[bad]} in row ${bad}`);
  }
}

function requireWhole(content: DatasetContent, what: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 1) {
    throw corrupt(content, what, "a whole number from 1", value);
  }
}

function requireSize(content: DatasetContent, what: string, got: number, size: number): void {
  if (got !== size) throw corrupt(content, what, `${size} values`, got);
}

function requireFinite(content: DatasetContent, what: string, values: Float32Array): void {
  const bad = values.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    throw corrupt(content, what, "finite numbers", `${values[bad]} at position ${bad}`);
  }
}

function corrupt(
  content: DatasetContent,
  what: string,
  rule: string,
  got: number | string,
): PsgdError {
  return new PsgdError(
    "DATA_CORRUPT",
    `dataset \`${content.name}\`, ${what}: expected ${rule}, got ${got}`,
  );
}
