import { Bf16 } from "./bf16.js";
import { describeCompressed } from "./testing/compressed.js";

/** By definition: 8 significant bits. */
function brain(value: number): number {
  const unit = 2 ** (Math.floor(Math.log2(Math.abs(value))) - 7);
  return Math.round(value / unit) * unit;
}

describeCompressed("bf16.Bf16 with feedback", Bf16, {
  parameters: { feedback: true },
  decoded: (vector) => vector.map(brain),
  hasFeedback: true,
  packetBytes: (size) => 2 * size,
});
