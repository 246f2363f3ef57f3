import type { Plan } from "@psgd/core";
import { lowerGraph } from "./lower-graph.js";
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
  /** By tensor of the state's layout. */
  readonly state: readonly string[];
  readonly nextState: readonly (string | null)[];
  /** By noise of the plan. */
  readonly noise: readonly string[];
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
  const state = plan.state.values.map(enter);
  const noise = plan.noise.map(({ value }) => enter(value));
  lowerGraph(plan, graph, operands);
  const leave = (id: number | null): string | null =>
    id === null ? null : graph.output(operands[id]!);
  return {
    inputs,
    parameters,
    outputs: plan.outputs.map(({ value }) => graph.output(operands[value]!)),
    gradients: plan.gradients.map(leave),
    state,
    nextState: plan.state.next.map(leave),
    noise,
    model: graph.toModel(),
  };
}
