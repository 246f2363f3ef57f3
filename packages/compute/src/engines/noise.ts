import type { PlanNoise } from "@psgd/core";

/**
 * Fills noise from a counter: the value at a place depends on seed, step, input and place alone, so that every engine
 * draws the same and any step can be drawn again.
 *
 * @param index - which noise input of the plan
 * @param out - filled
 */
export function fillNoise(
  { distribution, offset, scale }: PlanNoise,
  key: { readonly seed: number; readonly step: number; readonly index: number },
  out: Float32Array,
): void {
  const stream = mixed(mixed(mixed(key.seed | 0) ^ key.step) ^ key.index);
  if (distribution === "uniform") {
    for (let i = 0; i < out.length; i++) out[i] = offset + scale * unit(stream, i);
    return;
  }
  for (let i = 0; i < out.length; i++) {
    let normal = normalAt(stream, i);
    for (let retry = 1; distribution === "truncatedNormal" && Math.abs(normal) > 2; retry++) {
      normal = normalAt(mixed(stream ^ retry), i);
    }
    out[i] = offset + scale * normal;
  }
}

/** Box and Muller's transform of two uniform numbers. */
function normalAt(stream: number, place: number): number {
  const radius = Math.sqrt(-2 * Math.log(1 - unit(stream, 2 * place)));
  return radius * Math.cos(2 * Math.PI * unit(stream, 2 * place + 1));
}

/** Uniform over [0, 1), in steps that single precision can hold. */
function unit(stream: number, place: number): number {
  return (mixed(Math.imul(place, 0x9e3779b9) ^ stream) >>> 8) / 0x1000000;
}

/** A bijection of 32 bits without visible structure: Chris Wellons' `lowbias32` (nullprogram.com, "Prospecting for Hash Functions"). */
function mixed(value: number): number {
  let x = value;
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
  x = Math.imul(x ^ (x >>> 15), 0xd35a2d97);
  return x ^ (x >>> 15);
}
