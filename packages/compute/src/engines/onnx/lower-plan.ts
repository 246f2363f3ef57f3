import type { Plan } from "@psgd/core";
import { KernelCall } from "../../kernels/kernel-call.js";
import type { KernelName } from "../../kernels/kernels.js";
import { LOWERINGS } from "./lowerings.js";
import { OnnxGraph, type Operand } from "./onnx-graph.js";

/** A plan as an ONNX model, and the model's names for what the plan names. */
export interface LoweredPlan {
  readonly model: Uint8Array;
  /** By input of the plan. */
  readonly inputs: readonly string[];
  /** By tensor of the layout. */
  readonly parameters: readonly string[];
  /** By output of the plan. */
  readonly outputs: readonly string[];
  /** By tensor of the layout; empty without backward pass. */
  readonly gradients: readonly (string | null)[];
}

/**
 * Lowers a validated plan.
 * @throws {PsgdError} PLAN_INVALID
 */
export function lowerPlan(plan: Plan): LoweredPlan {
  const graph = new OnnxGraph();
  const operands: Operand[] = [];
  const enter = (id: number): string => {
    const operand = graph.input(plan.values[id]!);
    operands[id] = operand;
    return operand.name!;
  };
  const inputs = plan.inputs.map(({ value }) => enter(value));
  const parameters = plan.parameters.map(enter);
  for (const { value, data } of plan.constants) {
    operands[value] = graph.constant(plan.values[value]!, data);
  }
  plan.nodes.forEach((node, index) => {
    const values = node.inputs.map((id) => (id === null ? null : plan.values[id]!));
    const outputs = node.outputs.map((id) => plan.values[id]!);
    const lowered = LOWERINGS[node.kernel as KernelName]({
      graph,
      call: new KernelCall(node.kernel, values, node.attributes, `node ${index}`),
      inputs: node.inputs.map((id) => (id === null ? null : operands[id]!)),
      outputs,
    });
    const results: readonly Operand[] = "dtype" in lowered ? [lowered] : lowered;
    node.outputs.forEach((id, output) => {
      operands[id] = results[output]!;
    });
  });
  return {
    inputs,
    parameters,
    outputs: plan.outputs.map(({ value }) => graph.output(operands[value]!)),
    gradients: plan.gradients.map((id) => (id === null ? null : graph.output(operands[id]!))),
    model: graph.toModel(),
  };
}
