import { readScales, requireBytes, type Quantizer, type Segment } from "./compressor.js";
import { eachChunk, kernels, load, memory } from "./kernels.js";
import { joined } from "./linear.js";

/**
 * The sign of each value, and one scale for each tensor: x ↦ ‖x‖₁ / d · sign(x), which is a contraction (Karimireddy et
 * al. 2019, arXiv 1901.09847, section 4). Biased: wants error feedback. 4 bytes per tensor and ⌈d / 8⌉.
 */
export function scaledSign(): Quantizer {
  const name = "scaledSign";
  return {
    kind: "quantizer",
    name,
    encode(values, segments) {
      const scales = Float32Array.from(
        segments,
        (segment) => sumOfMagnitudes(values, segment) / Math.max(1, segment.size),
      );
      return joined(scales, packSigns(values));
    },
    decode(bytes, segments, values) {
      requireBytes(bytes, 4 * segments.length + Math.ceil(values.length / 8), name);
      const scales = readScales(bytes, segments.length, name);
      const bits = bytes.subarray(4 * segments.length);
      for (const [index, segment] of segments.entries())
        unpackSigns(bits, segment, scales[index], values);
    },
  };
}

/** One bit for each value, 1 where it is negative, the first in the lowest place: ⌈d / 8⌉ bytes. */
export function packSigns(values: Readonly<Float32Array>): Uint8Array {
  const bits = new Uint8Array(Math.ceil(values.length / 8));
  eachChunk(0, values.length, (start, end) => {
    load(values, start, end);
    kernels.packSigns(end - start);
    bits.set(memory.codes.subarray(0, Math.ceil((end - start) / 8)), start / 8);
  });
  return bits;
}

/** Fills one tensor with plus or minus `scale`. */
export function unpackSigns(
  bits: Uint8Array,
  { offset, size }: Segment,
  scale: number,
  values: Float32Array,
): void {
  // A tensor may begin within a byte.
  const aligned = offset & ~7;
  eachChunk(aligned, offset + size, (start, end) => {
    memory.codes.set(bits.subarray(start / 8, Math.ceil(end / 8)));
    kernels.unpackSigns(end - start, scale);
    const first = Math.max(start, offset);
    values.set(memory.values.subarray(first - start, end - start), first);
  });
}

function sumOfMagnitudes(values: Readonly<Float32Array>, { offset, size }: Segment): number {
  let sum = 0;
  eachChunk(offset, offset + size, (start, end) => {
    load(values, start, end);
    sum += kernels.sumOfMagnitudes(end - start);
  });
  return sum;
}
