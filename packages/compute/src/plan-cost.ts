import type { Plan, PlanBody, PlanNode, PlanValue } from "@psgd/core";
import { elementCount } from "./kernels/kernel-call.js";

/** What a run takes, before it runs; a bound rather than a measure. */
export interface PlanCost {
  /** Floating point operations. */
  readonly flops: number;
  /** Memory of all values together. */
  readonly bytes: number;
}

/** Estimates the cost of a validated plan: products and convolutions by their sums, all else by the size of results. */
export function estimateCost(plan: Plan): PlanCost {
  return costOf(plan);
}

type Graph = Pick<PlanBody, "values" | "nodes">;

function costOf({ values, nodes }: Graph): PlanCost {
  let flops = 0;
  let bytes = values.reduce((sum, { shape }) => sum + 4 * elementCount(shape), 0);
  for (const node of nodes) {
    const inner = (node.bodies ?? []).map(costOf);
    const times = node.kernel === "Loop" ? (node.attributes["times"] as number) : 1;
    flops += times * inner.reduce((sum, cost) => sum + cost.flops, 0) + flopsOf(node, values);
    bytes += inner.reduce((sum, cost) => sum + cost.bytes, 0);
  }
  return { flops, bytes };
}

function flopsOf({ kernel, inputs, outputs }: PlanNode, values: readonly PlanValue[]): number {
  const size = (id: number | null | undefined): number =>
    id === null || id === undefined ? 0 : elementCount(values[id]!.shape);
  const results = outputs.reduce((sum, id) => sum + size(id), 0);
  const [first, second] = inputs;
  if (kernel === "BatchMatMul" || kernel === "_FusedMatMul") {
    // [m, k] by [k, n]: the product of the three sizes is (m k)(k n)(m n), the square of m k n.
    const batch = elementCount(values[outputs[0]!]!.shape.slice(0, -2));
    return 2 * Math.sqrt((size(first) * size(second) * results) / batch);
  }
  if (kernel.includes("Conv2")) {
    const isOfFilter = kernel.endsWith("BackpropFilter");
    const filter = values[isOfFilter ? outputs[0]! : second!]!.shape;
    // Each value on the side of the results is a sum over the filter's extents and input channels.
    const sums = isOfFilter
      ? size(second)
      : kernel.endsWith("BackpropInput")
        ? size(first)
        : results;
    return 2 * sums * elementCount(filter.slice(0, 3));
  }
  return results + size(first);
}
