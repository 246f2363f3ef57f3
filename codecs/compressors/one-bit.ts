import { readScales, requireBytes, type Quantizer } from "./compressor.js";
import { joined } from "./linear.js";
import { packSigns } from "./sign.js";

/**
 * The sign of each value, and for each tensor the mean of the negative and of the other values, which is what each is
 * decoded to (Seide et al., Interspeech 2014, section 3.2). Biased: wants error feedback. 8 bytes per tensor and ⌈d / 8⌉.
 */
export function oneBit(): Quantizer {
  const name = "oneBit";
  return {
    kind: "quantizer",
    name,
    encode(values, segments) {
      const means = new Float32Array(2 * segments.length);
      const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
      for (const [index, { offset, size }] of segments.entries()) {
        const sums = [0, 0];
        let negativeCount = 0;
        for (let i = offset; i < offset + size; i++) {
          const isNegative = words[i] >>> 31;
          sums[isNegative] += values[i];
          negativeCount += isNegative;
        }
        means[2 * index] = sums[0] / Math.max(1, size - negativeCount);
        means[2 * index + 1] = sums[1] / Math.max(1, negativeCount);
      }
      return joined(means, packSigns(values));
    },
    decode(bytes, segments, values) {
      requireBytes(bytes, 8 * segments.length + Math.ceil(values.length / 8), name);
      const means = readScales(bytes, 2 * segments.length, name);
      const bits = bytes.subarray(8 * segments.length);
      for (const [index, { offset, size }] of segments.entries()) {
        const ofSegment = means.subarray(2 * index, 2 * index + 2);
        for (let i = offset; i < offset + size; i++)
          values[i] = ofSegment[(bits[i >>> 3] >>> (i & 7)) & 1];
      }
    },
  };
}
