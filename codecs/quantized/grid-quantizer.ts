import { PsgdError } from "@psgd/core";
import { BitReader, BitWriter } from "../compressors/bits.js";
import { joined } from "../compressors/linear.js";
import { readScales, requireBytes, type Quantizer, type Segment } from "../compressors/index.js";
import { fitScale, type Fit } from "./alternating.js";

/** Values on a grid, each tensor with a scale of its own: 4 bytes per tensor and ⌈d · bits / 8⌉. */
export function gridQuantizer(name: string, grid: readonly number[], rounds: number): Quantizer {
  const bits = Math.ceil(Math.log2(grid.length));
  return {
    kind: "quantizer",
    name,
    encode(values, segments, random) {
      const fits = segments.map(({ offset, size }) =>
        fitScale(values.subarray(offset, offset + size), grid, rounds, random),
      );
      return packFits(fits, bits);
    },
    decode(bytes, segments, values) {
      requireBytes(bytes, 4 * segments.length + Math.ceil((values.length * bits) / 8), name);
      const scales = readScales(bytes, segments.length, name);
      const reader = new BitReader(bytes.subarray(4 * segments.length));
      for (const [index, { offset, size }] of segments.entries())
        for (let i = offset; i < offset + size; i++) {
          const place = reader.read(bits);
          if (place >= grid.length)
            throw new PsgdError(
              "WIRE_MALFORMED",
              `place on the grid of ${name}: expected one below ${grid.length}, got ${place}`,
            );
          values[i] = grid[place] * scales[index];
        }
    },
  };
}

/** Scales, then places of `bits` each: what the quantizer of such a grid decodes. */
export function packFits(fits: readonly Fit[], bits: number): Uint8Array {
  const size = fits.reduce((sum, { places }) => sum + places.length, 0);
  const writer = new BitWriter((size * bits) / 8 + 4);
  for (const { places } of fits) for (const place of places) writer.write(place, bits);
  const scales = Float32Array.from(fits, ({ scale }) => scale);
  return joined(scales, writer.finish());
}

/** Whole numbers from −k to k. */
export function wholeGrid(bits: number): readonly number[] {
  const k = 2 ** (bits - 1) - 1;
  return Array.from({ length: 2 * k + 1 }, (_, i) => i - k);
}

/**
 * What a quantizer makes of a vector, as others will see it.
 * @param bytes - from another node, so perhaps not what the quantizer returns
 * @throws {PsgdError} WIRE_MALFORMED
 */
export function seen(
  quantizer: Quantizer,
  bytes: unknown,
  segments: readonly Segment[],
  size: number,
): Float32Array {
  if (!(bytes instanceof Uint8Array))
    throw new PsgdError("WIRE_MALFORMED", `quantized vector: expected bytes, got ${typeof bytes}`);
  const values = new Float32Array(size);
  quantizer.decode(bytes, segments, values);
  return values;
}
