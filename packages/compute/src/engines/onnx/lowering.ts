import type { PlanValue } from "@psgd/core";
import type { KernelCall } from "../../kernels/kernel-call.js";
import type { OnnxGraph, Operand } from "./onnx-graph.js";

/** One kernel call to lower. */
export interface Lowered {
  readonly graph: OnnxGraph;
  readonly call: KernelCall;
  /** Absent optional inputs are missing or null. */
  readonly inputs: readonly (Operand | null)[];
  readonly outputs: readonly PlanValue[];
}

/** How a kernel is computed by ONNX operators. */
export type Lowering = (lowered: Lowered) => Operand | readonly Operand[];
