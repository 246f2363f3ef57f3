import type { Plan, TensorLayout } from "@psgd/core";
import { lowerGraph } from "./lower-graph.js";
import { OnnxGraph, type Operand } from "./onnx-graph.js";

/**
 * A plan without backward pass as an ONNX model that holds its weights: inputs and outputs by their names in the plan,
 * weights by theirs.
 *
 * @param vectors - flat as in the layouts of the plan's parameters and of its state
 * @param isOpen - whether the first extent of the first input stands for any number, wherever it or a multiple of it is an extent
 */
export function lowerInference(
  plan: Plan,
  vectors: { readonly parameters: Float32Array; readonly state: Float32Array },
  isOpen: boolean,
): Uint8Array {
  const batchSize = plan.values[plan.inputs[0]!.value]!.shape[0]!;
  const graph = new OnnxGraph(isOpen ? { openBatch: batchSize } : {});
  const operands: Operand[] = [];
  for (const { name, value } of plan.inputs) {
    operands[value] = graph.input(plan.values[value]!, name);
  }
  const hold = (ids: readonly number[], { tensors }: TensorLayout, flat: Float32Array): void => {
    for (const [index, { name, offset, size }] of tensors.entries()) {
      const id = ids[index]!;
      operands[id] = graph.constant(plan.values[id]!, flat.slice(offset, offset + size), name);
    }
  };
  hold(plan.parameters, plan.layout, vectors.parameters);
  hold(plan.state.values, plan.state.layout, vectors.state);
  lowerGraph(plan, graph, operands);
  for (const { name, value } of plan.outputs) graph.namedOutput(name, operands[value]!);
  return graph.toModel();
}
