import type { PlanBody } from "@psgd/core";
import { bodyValues, KernelCall } from "../../kernels/kernel-call.js";
import type { KernelName } from "../../kernels/kernels.js";
import { LOWERINGS } from "./lowerings.js";
import type { OnnxGraph, Operand } from "./onnx-graph.js";

/**
 * Lowers constants and nodes of a plan or of a body.
 * @param operands - by value; inputs are there already, the rest is added
 */
export function lowerGraph(
  { values, constants, nodes }: Pick<PlanBody, "values" | "constants" | "nodes">,
  graph: OnnxGraph,
  operands: Operand[],
): void {
  for (const { value, data } of constants) operands[value] = graph.constant(values[value]!, data);
  nodes.forEach((node, index) => {
    const { kernel, attributes, bodies = [] } = node;
    const inputs = node.inputs.map((id) => (id === null ? null : values[id]!));
    const lowered = LOWERINGS[kernel as KernelName]({
      graph,
      call: new KernelCall(kernel, inputs, attributes, `node ${index}`, bodies.map(bodyValues)),
      inputs: node.inputs.map((id) => (id === null ? null : operands[id]!)),
      outputs: node.outputs.map((id) => values[id]!),
      bodies,
      lowerBody,
    });
    const results: readonly Operand[] = "dtype" in lowered ? [lowered] : lowered;
    node.outputs.forEach((id, output) => {
      operands[id] = results[output]!;
    });
  });
}

function lowerBody(graph: OnnxGraph, body: PlanBody, inputs: readonly Operand[]): void {
  const operands: Operand[] = [];
  body.inputs.forEach((id, index) => {
    operands[id] = inputs[index]!;
  });
  lowerGraph(body, graph, operands);
  for (const id of body.outputs) graph.output(operands[id]!);
}
