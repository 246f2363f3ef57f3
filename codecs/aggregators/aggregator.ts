import { PsgdError } from "@psgd/core";

/** Makes one vector of those of several nodes, some of which may lie. */
export interface Aggregator {
  readonly name: string;
  /** Fewest vectors it can work with. */
  readonly leastCount: number;
  /**
   * @param vectors - of one length, in the order of nodes; not changed
   * @param previous - what came out last time, where that is of use; 0 before
   * @returns a new vector
   * @throws {PsgdError} SETTINGS_INVALID if they are fewer than `leastCount`; NOT_FINITE
   */
  aggregate(
    vectors: readonly Readonly<Float32Array>[],
    previous?: Readonly<Float32Array>,
  ): Float32Array;
}

/**
 * @param subject - what the vector is, for people
 * @throws {PsgdError} NOT_FINITE if it holds a NaN or infinity, which no aggregator can stand
 */
export function requireFinite(vector: Readonly<Float32Array>, subject: string): void {
  const place = vector.findIndex((value) => !Number.isFinite(value));
  if (place < 0) return;
  throw new PsgdError(
    "NOT_FINITE",
    `${subject}: expected finite numbers, got ${vector[place]} at ${place}`,
  );
}

/** @throws {PsgdError} SETTINGS_INVALID unless there are enough vectors for so many that lie */
export function requireEnough(count: number, aggregator: Aggregator, byzantine: number): void {
  if (count >= aggregator.leastCount) return;
  throw new PsgdError(
    "SETTINGS_INVALID",
    `${aggregator.name}: expected at least ${aggregator.leastCount} nodes to stand ${byzantine} that lie, got ${count}; lower \`--param byzantine\` or add nodes`,
  );
}

/** ‖a − b‖². */
export function squaredDistance(a: Readonly<Float32Array>, b: Readonly<Float32Array>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = a[i] - b[i];
    sum += difference * difference;
  }
  return sum;
}
