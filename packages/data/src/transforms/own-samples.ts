import type { BlockId } from "@psgd/core";
import type { SampleView } from "./transform.js";

/**
 * The same samples, each computed in its own block only: block b of a step has the next of its samples in the order so
 * far.
 *
 * @param blockOf - by row: its block
 * @param size - `stepCount` steps of `batchSize` samples per block, which each block must have
 */
export function ownSamples(
  view: SampleView,
  blockOf: ArrayLike<BlockId>,
  size: { readonly blockCount: number; readonly batchSize: number; readonly stepCount: number },
): SampleView {
  const { blockCount, batchSize, stepCount } = size;
  return {
    ...view,
    order: (epoch) => {
      const before = view.order(epoch);
      const order = new Uint32Array(before.length);
      const taken = new Uint32Array(blockCount);
      // What fills no step comes last.
      let rest = stepCount * blockCount * batchSize;
      for (const row of before) {
        const block = blockOf[row]!;
        const position = taken[block]!++;
        const step = Math.floor(position / batchSize);
        const place = (step * blockCount + block) * batchSize + (position % batchSize);
        order[step < stepCount ? place : rest++] = row;
      }
      return order;
    },
  };
}
