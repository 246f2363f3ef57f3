import { TernGrad } from "./terngrad.js";
import { describeCompressed } from "./testing/compressed.js";

describeCompressed("terngrad.TernGrad", TernGrad, {
  decoded: () => [],
  hasFeedback: false,
  isRandom: true,
  packetBytes: (size) => Math.ceil(size / 5) + 4,
});
