import { OneBitSgd } from "./onebit_sgd.js";
import { describeCompressed } from "./testing/compressed.js";

function meanWhere(vector: readonly number[], isIn: (value: number) => boolean): number {
  const values = vector.filter(isIn);
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

describeCompressed("onebit_sgd.OneBitSgd", OneBitSgd, {
  decoded: (vector) => {
    const negative = meanWhere(vector, (value) => value < 0);
    const other = meanWhere(vector, (value) => value >= 0);
    return vector.map((value) => (value < 0 ? negative : other));
  },
  hasFeedback: true,
  packetBytes: (size) => Math.ceil(size / 8) + 8,
});
