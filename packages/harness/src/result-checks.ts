import { createHash } from "node:crypto";
import { PsgdError, nodeName, type NodeId } from "@psgd/core";

/**
 * Which results must be equal bit for bit: those of all nodes in every round, those of the last round only (codecs
 * with local steps between exchanges), or none (each node has a model of its own).
 */
export type Agreement = "every-round" | "last-round" | "none";

/** The result of one round, by node. */
export type RoundResults = ReadonlyMap<NodeId, Float32Array>;

/** @throws {PsgdError} NOT_FINITE: the inputs were finite */
export function requireFinite(round: number, results: RoundResults, codec: string): void {
  for (const [node, result] of results) {
    const index = result.findIndex((value) => !Number.isFinite(value));
    if (index < 0) continue;
    throw new PsgdError(
      "NOT_FINITE",
      `result of round ${round}: expected finite numbers, got ${result[index]} at ${index}; codec ${codec}, ${nodeName(node)}; its inputs were finite, look for divisions by zero and overflow`,
      { details: { node, step: round } },
    );
  }
}

/** @throws {PsgdError} CODEC_WRONG_RESULT if a codec has changed the weights it was shown */
export function requireUntouchedWeights(
  isUntouched: boolean,
  { node, round, codec }: { node: NodeId; round: number; codec: string },
): void {
  if (isUntouched) return;
  throw new PsgdError(
    "CODEC_WRONG_RESULT",
    `\`this.weights\` in round ${round}: expected it untouched, got it changed by the codec; codec ${codec}, ${nodeName(node)}; ` +
      "they may only be read, take a copy (`slice()`) to compute with",
    { details: { node, step: round } },
  );
}

/** @throws {PsgdError} CODEC_WRONG_RESULT if two nodes got different bits */
export function requireSameBits(
  what: string,
  round: number,
  results: RoundResults,
  codec: string,
): void {
  const [first, ...others] = results;
  if (first === undefined) return;
  for (const [node, result] of others) {
    const index = differingIndex(first[1], result);
    if (index === undefined) continue;
    throw new PsgdError(
      "CODEC_WRONG_RESULT",
      `${what} round ${round}: expected the same bits on every node, got ${first[1][index]} on ${nodeName(first[0])} and ${result[index]} on ${nodeName(node)} at ${index}; ` +
        `codec ${codec}; sum in the order of ids, not of arrival (\`meanOf\`), or expect less (\`--agreement none\`) if nodes are meant to differ`,
      { details: { node, step: round } },
    );
  }
}

/** @throws {PsgdError} CODEC_WRONG_RESULT if a result is further than `tolerance` (of the mean's length) from the mean */
export function requireMean(
  round: number,
  results: RoundResults,
  mean: Float64Array,
  tolerance: number,
  codec: string,
): void {
  for (const [node, result] of results) {
    let difference = 0;
    let length = 0;
    for (const [i, value] of mean.entries()) {
      difference += (result[i]! - value) ** 2;
      length += value ** 2;
    }
    const error = Math.sqrt(difference / length);
    if (error <= tolerance) continue;
    throw new PsgdError(
      "CODEC_WRONG_RESULT",
      `result of round ${round}: expected the mean of all blocks within ${tolerance} of its length, got one ${error.toPrecision(3)} away; ` +
        `codec ${codec}, ${nodeName(node)}; look for blocks left out, counted twice or of another round, or allow more (\`--tolerance\`) if the codec is lossy`,
      { details: { node, step: round } },
    );
  }
}

/** The bits of a result, shortened to compare them with another run's. */
export function digestOf(result: Float32Array): string {
  const bytes = new Uint8Array(result.buffer, result.byteOffset, result.byteLength);
  return createHash("sha256").update(bytes).digest("hex");
}

function differingIndex(a: Float32Array, b: Float32Array): number | undefined {
  const bitsOfA = new Uint32Array(a.buffer, a.byteOffset, a.length);
  const bitsOfB = new Uint32Array(b.buffer, b.byteOffset, b.length);
  const index = bitsOfA.findIndex((bits, i) => bits !== bitsOfB[i]);
  return index < 0 ? undefined : index;
}
