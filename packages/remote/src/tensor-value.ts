import { PsgdError, type PlanArray, type PlanDType, type PlanValue } from "@psgd/core";

/** A tensor with its values, row-major: what is put on a worker and what comes back. */
export interface TensorValue extends PlanValue {
  readonly data: PlanArray;
}

type Nested = number | readonly Nested[];

const ARRAY_OF = { float32: Float32Array, int32: Int32Array, bool: Uint8Array } as const;

/**
 * Makes a tensor of nested lists of numbers.
 * @throws {PsgdError} SHAPE_MISMATCH if the lists are not of one length
 */
export function tensor(values: Nested, dtype: PlanDType = "float32"): TensorValue {
  const shape: number[] = [];
  for (let level: Nested | undefined = values; typeof level === "object"; level = level[0]) {
    shape.push(level.length);
  }
  const flat = flattened(values);
  const isEven = (level: Nested, depth: number): boolean =>
    typeof level === "number"
      ? depth === shape.length
      : level.length === shape[depth] && level.every((inner) => isEven(inner, depth + 1));
  if (!isEven(values, 0) || flat.length === 0) {
    throw new PsgdError(
      "SHAPE_MISMATCH",
      `tensor: expected lists of equal lengths, got ${JSON.stringify(values).slice(0, 80)}`,
    );
  }
  return { shape, dtype, data: ARRAY_OF[dtype].from(flat) };
}

function flattened(values: Nested): number[] {
  return typeof values === "number" ? [values] : values.flatMap(flattened);
}

/**
 * Checks a tensor from anywhere.
 * @throws {PsgdError} SHAPE_MISMATCH
 */
export function requireTensor(candidate: unknown, what: string): TensorValue {
  const { shape, dtype, data } = (candidate ?? {}) as Partial<TensorValue>;
  const extents: readonly unknown[] = Array.isArray(shape) ? shape : [NaN];
  const isShape = extents.every((extent) => Number.isSafeInteger(extent) && Number(extent) > 0);
  const size = isShape ? (extents as readonly number[]).reduce((a, b) => a * b, 1) : NaN;
  const array =
    dtype === undefined || !Object.hasOwn(ARRAY_OF, dtype) ? undefined : ARRAY_OF[dtype];
  if (array !== undefined && data instanceof array && data.length === size) {
    return candidate as TensorValue;
  }
  throw new PsgdError(
    "SHAPE_MISMATCH",
    `${what}: expected a tensor with as many values as its shape says, got ${describe(candidate)}`,
  );
}

export function describe(candidate: unknown): string {
  const { shape, dtype } = (candidate ?? {}) as Readonly<Record<string, unknown>>;
  if (!Array.isArray(shape)) return typeof candidate;
  return `${String(dtype)} [${shape.map(String).join()}]`;
}
