import { Int8 } from "./int8.js";
import { describeCompressed } from "./testing/compressed.js";

/** A bucket of at most 512 values. */
const nearest =
  (levels: number) =>
  (vector: readonly number[]): number[] => {
    const scale = Math.max(...vector.map(Math.abs)) / levels;
    return vector.map((value) => Math.round(value / scale) * scale);
  };

describeCompressed("int8.Int8", Int8, {
  decoded: nearest(127),
  hasFeedback: true,
  packetBytes: (size) => size + 4 * Math.ceil(size / 512),
});

describeCompressed("int8.Int8, 4 bits", Int8, {
  parameters: { bits: 4 },
  decoded: nearest(7),
  hasFeedback: true,
  packetBytes: (size) => Math.ceil(size / 2) + 4 * Math.ceil(size / 512),
});
