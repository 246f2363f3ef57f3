import { TopK } from "./topk.js";
import { describeCompressed } from "./testing/compressed.js";

describeCompressed("topk.TopK", TopK, {
  parameters: { fraction: 0.1, values: "fp32" },
  decoded: (vector) => {
    const kth = vector.map(Math.abs).sort((a, b) => b - a)[2];
    return vector.map((value) => (Math.abs(value) >= kth ? value : 0));
  },
  hasFeedback: true,
});

describeCompressed("topk.TopK, int8", TopK, {
  parameters: { fraction: 0.25, values: "int8" },
  decoded: (vector) => {
    const sorted = vector.map(Math.abs).sort((a, b) => b - a);
    const unit = sorted[0] / 127;
    return vector.map((value) =>
      Math.abs(value) >= sorted[5] ? Math.round(value / unit) * unit : 0,
    );
  },
  hasFeedback: true,
});
