import { PsgdError } from "./errors.js";
import { requireLength } from "./layout.js";

/**
 * Asserts that the content of a message is a list, as most codecs send.
 * @throws {PsgdError} WIRE_MALFORMED unless it has exactly `count` entries
 */
export function requireList(content: unknown, count: number): readonly unknown[] {
  if (Array.isArray(content) && content.length === count) return content as unknown[];
  throw malformed("content of a message", `a list of ${count}`, content);
}

/**
 * Asserts that a part of a message is a vector.
 * @throws {PsgdError} WIRE_MALFORMED unless it is a Float32Array; SHAPE_MISMATCH unless it has `size` values
 */
export function requireVector(
  value: unknown,
  size: number,
  what: string,
): asserts value is Float32Array {
  if (!(value instanceof Float32Array)) throw malformed(what, "a Float32Array", value);
  requireLength(value, size, what);
}

/**
 * Asserts that a part of a message is one of the ids there are (nodes, blocks).
 * @throws {PsgdError} WIRE_MALFORMED
 */
export function requireId(
  value: unknown,
  ids: readonly number[],
  what: string,
): asserts value is number {
  if (typeof value !== "number" || !ids.includes(value)) {
    throw malformed(what, `one of ${ids.length} ids from ${ids[0]}`, value);
  }
}

/**
 * Asserts that a part of a message counts something (steps, samples).
 * @throws {PsgdError} WIRE_MALFORMED unless it is a whole number from 0
 */
export function requireCount(value: unknown, what: string): asserts value is number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) {
    throw malformed(what, "a whole number from 0", value);
  }
}

/**
 * Asserts that a part of a message is a step of the job. Codecs that keep what comes by step thus never keep more than
 * the job has steps, whatever number a peer names.
 * @throws {PsgdError} WIRE_MALFORMED unless it is a whole number from 0, less than `stepCount`
 */
export function requireStep(
  value: unknown,
  { stepCount }: { readonly stepCount: number },
  what = "step",
): asserts value is number {
  if (!Number.isSafeInteger(value) || (value as number) < 0 || (value as number) >= stepCount) {
    throw malformed(what, `a whole number from 0 to ${stepCount - 1}`, value);
  }
}

function malformed(what: string, expected: string, value: unknown): PsgdError {
  return new PsgdError("WIRE_MALFORMED", `${what}: expected ${expected}, got ${described(value)}`);
}

function described(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === "object" && value !== null) {
    const { constructor } = value as { constructor?: { name?: string } };
    return `a value of type ${constructor?.name ?? "object"}`;
  }
  return typeof value === "string" ? `a text of ${value.length} characters` : String(value);
}
