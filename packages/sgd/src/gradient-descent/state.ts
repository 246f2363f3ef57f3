import { PsgdError } from "@psgd/core";

/**
 * The vectors and numbers of a saved memory.
 * @throws {PsgdError} SHAPE_MISMATCH unless `state` has each of `names`, vectors of `size` values
 */
export function readState<V extends string, N extends string>(
  state: unknown,
  rule: string,
  size: number,
  names: { vectors: readonly V[]; numbers: readonly N[] },
): Record<V, Float32Array> & Record<N, number> {
  const fields = (typeof state === "object" && state !== null ? state : {}) as Record<
    string,
    unknown
  >;
  for (const name of names.vectors) {
    const field = fields[name];
    if (!(field instanceof Float32Array && field.length === size)) {
      throw mismatch(rule, name, `${size} values`, field);
    }
  }
  for (const name of names.numbers) {
    if (typeof fields[name] !== "number") throw mismatch(rule, name, "a number", fields[name]);
  }
  return fields as Record<V, Float32Array> & Record<N, number>;
}

function mismatch(rule: string, name: string, expected: string, field: unknown): PsgdError {
  const got = field instanceof Float32Array ? `${field.length} values` : typeof field;
  return new PsgdError(
    "SHAPE_MISMATCH",
    `\`${name}\` of the state of ${rule}: expected ${expected}, got ${got}; ` +
      "it was saved by another gradient descent or for another model",
  );
}
