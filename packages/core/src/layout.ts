import { PsgdError } from "./errors.js";

/** Where one tensor of a model lies in the flat vector of all of them. */
export interface TensorSlot {
  readonly name: string;
  readonly shape: readonly number[];
  /** Position of its first element. */
  readonly offset: number;
  /** Number of elements. */
  readonly size: number;
}

/** The tensors of a model, in the order and without gaps as they lie in the flat vector. */
export interface TensorLayout {
  readonly tensors: readonly TensorSlot[];
  /** Number of elements of all tensors together. */
  readonly size: number;
}

/** Lays tensors out one after the other. */
export function layoutOf(
  tensors: readonly { name: string; shape: readonly number[] }[],
): TensorLayout {
  let offset = 0;
  const slots = tensors.map(({ name, shape }): TensorSlot => {
    const size = shape.reduce((product, extent) => product * extent, 1);
    const slot = { name, shape: [...shape], offset, size };
    offset += size;
    return slot;
  });
  return { tensors: slots, size: offset };
}

/** The layout of one tensor alone, as a per-tensor codec sees it. */
export function layoutOfTensor(slot: TensorSlot): TensorLayout {
  return { tensors: [{ ...slot, offset: 0 }], size: slot.size };
}

/**
 * Asserts that a vector has the length of the model.
 * @throws {PsgdError} SHAPE_MISMATCH if it has not
 */
export function requireLength(vector: ArrayLike<number>, size: number, what: string): void {
  if (vector.length !== size) {
    throw new PsgdError("SHAPE_MISMATCH", `${what}: expected ${size} values, got ${vector.length}`);
  }
}
