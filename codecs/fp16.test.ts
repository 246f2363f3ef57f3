import { Fp16 } from "./fp16.js";
import { describeCompressed } from "./testing/compressed.js";

/** By the standard: 11 significant bits for magnitudes from 2⁻¹⁴. */
function half(value: number): number {
  const unit = 2 ** (Math.max(-14, Math.floor(Math.log2(Math.abs(value)))) - 10);
  return Math.round(value / unit) * unit;
}

describeCompressed("fp16.Fp16", Fp16, {
  decoded: (vector) => vector.map(half),
  hasFeedback: false,
  packetBytes: (size) => 2 * size,
});
