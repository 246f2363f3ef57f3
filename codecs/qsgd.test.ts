import { Qsgd } from "./qsgd.js";
import { describeCompressed } from "./testing/compressed.js";

const chance = { decoded: () => [], hasFeedback: false, isRandom: true };

describeCompressed("qsgd.Qsgd", Qsgd, {
  ...chance,
  packetBytes: (size) => Math.ceil(size / 2) + 4 * Math.ceil(size / 512),
});

describeCompressed("qsgd.Qsgd, 8 bits", Qsgd, {
  ...chance,
  parameters: { bits: 8, bucket: 128 },
  packetBytes: (size) => size + 4 * Math.ceil(size / 128),
});

describeCompressed("qsgd.Qsgd, 2 bits, Elias", Qsgd, {
  ...chance,
  parameters: { bits: 2, norm: "l2", coding: "elias" },
});
