import type { Random } from "@psgd/core";

/** A tensor on a grid: its scale, and for each value its place. */
export interface Fit {
  readonly scale: number;
  readonly places: Uint8Array;
}

/**
 * α · b, b on a grid, near x: the scale and the places are made better for each other in turns, α ← ⟨b, x⟩ / (⟨b, b⟩ + ε),
 * b ← x / α rounded at random to one of the two neighbours on the grid (Parallel-SGD's `tqn`, `sgq` and `laq`).
 *
 * @param grid - ascending
 */
export function fitScale(
  values: Readonly<Float32Array>,
  grid: readonly number[],
  rounds: number,
  random: Random,
): Fit {
  let largest = 0;
  for (const value of values) largest = Math.max(largest, Math.abs(value));
  let scale = largest / grid[grid.length - 1];
  let places = roundAtRandom(values, scale, grid, random);
  for (let round = 0; round < rounds && scale > 0; round++) {
    let product = 0;
    let square = 0;
    for (let i = 0; i < values.length; i++) {
      const b = grid[places[i]];
      product += b * values[i];
      square += b * b;
    }
    // A scale of the other sign, or none, would be worse than the one before.
    if (!(product > 0)) break;
    scale = product / (square + 1e-9);
    places = roundAtRandom(values, scale, grid, random);
  }
  return { scale: Math.fround(scale), places };
}

/** To one of the two neighbours on the grid, with the chances that make it right on average; beyond its ends, to them. */
function roundAtRandom(
  values: Readonly<Float32Array>,
  scale: number,
  grid: readonly number[],
  random: Random,
): Uint8Array {
  const places = new Uint8Array(values.length);
  const last = grid.length - 1;
  for (let i = 0; i < values.length; i++) {
    const x = scale === 0 ? 0 : values[i] / scale;
    let place = 0;
    while (place < last - 1 && grid[place + 1] <= x) place++;
    const chance = (x - grid[place]) / (grid[place + 1] - grid[place]);
    places[i] = random.float() < chance ? place + 1 : place;
  }
  return places;
}
