import { EfSignSgd } from "./ef_signsgd.js";
import { describeCompressed } from "./testing/compressed.js";

describeCompressed("ef_signsgd.EfSignSgd", EfSignSgd, {
  decoded: (vector) => {
    const scale = vector.reduce((sum, value) => sum + Math.abs(value), 0) / vector.length;
    return vector.map((value) => (value < 0 ? -scale : scale));
  },
  hasFeedback: true,
  packetBytes: (size) => Math.ceil(size / 8) + 4,
});
