import type { PlanBody, PlanValue } from "@psgd/core";
import type { KernelCall } from "../../kernels/kernel-call.js";
import type { OnnxGraph, Operand } from "./onnx-graph.js";

/** One kernel call to lower. */
export interface Lowered {
  readonly graph: OnnxGraph;
  readonly call: KernelCall;
  /** Absent optional inputs are missing or null. */
  readonly inputs: readonly (Operand | null)[];
  readonly outputs: readonly PlanValue[];
  readonly bodies: readonly PlanBody[];
  /** Adds a body to a graph. @param inputs - what stands for its inputs */
  readonly lowerBody: (graph: OnnxGraph, body: PlanBody, inputs: readonly Operand[]) => void;
}

/** How a kernel is computed by ONNX operators. */
export type Lowering = (lowered: Lowered) => Operand | readonly Operand[];
