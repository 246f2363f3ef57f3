import { invariant, requireLength } from "@psgd/core";
import type { SampleView } from "./transforms/transform.js";

/** Where a batch goes: memory of the caller, reused from batch to batch. */
export interface BatchBuffers {
  /** One row of `inputSize` values per sample. */
  readonly x: Float32Array;
  /** One row of `targetSize` values per sample. */
  readonly y: Float32Array;
}

/**
 * Gathers the given rows as the model gets them. Allocates nothing.
 * @throws {PsgdError} SHAPE_MISMATCH if the buffers do not have the length of the batch
 */
export function fillBatch(view: SampleView, rows: Uint32Array, { x, y }: BatchBuffers): void {
  const { inputSize, targetSize, samples } = view;
  requireLength(x, rows.length * inputSize, "batch inputs");
  requireLength(y, rows.length * targetSize, "batch targets");
  for (let index = 0; index < rows.length; index++) {
    if (rows[index]! >= samples.count) invariant(false, `row ${rows[index]} of ${samples.count}`);
  }
  if (samples.inputs instanceof Float32Array) gather(samples.inputs, rows, inputSize, x);
  else gatherBytes(samples.inputs, rows, inputSize, view.byteValues, x);
  if (!view.oneHot) {
    gather(samples.targets, rows, targetSize, y);
    return;
  }
  y.fill(0);
  for (let index = 0; index < rows.length; index++) {
    y[index * targetSize + samples.targets[rows[index]!]!] = 1;
  }
}

function gather(
  from: Uint8Array | Float32Array,
  rows: Uint32Array,
  size: number,
  to: Float32Array,
): void {
  for (let index = 0; index < rows.length; index++) {
    const start = rows[index]! * size;
    const end = index * size + size;
    for (let at = index * size, source = start; at < end; at++, source++) to[at] = from[source]!;
  }
}

/** Four at a time: a third faster than one, because the loop's own checks cost as much as the work. */
function gatherBytes(
  from: Uint8Array,
  rows: Uint32Array,
  size: number,
  byteValues: Float32Array,
  to: Float32Array,
): void {
  for (let index = 0; index < rows.length; index++) {
    const end = index * size + size;
    let at = index * size;
    let source = rows[index]! * size;
    for (; at + 3 < end; at += 4, source += 4) {
      to[at] = byteValues[from[source]!]!;
      to[at + 1] = byteValues[from[source + 1]!]!;
      to[at + 2] = byteValues[from[source + 2]!]!;
      to[at + 3] = byteValues[from[source + 3]!]!;
    }
    for (; at < end; at++, source++) to[at] = byteValues[from[source]!]!;
  }
}
