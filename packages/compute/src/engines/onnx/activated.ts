import { fusedActivation } from "../../kernels/fused-activation.js";
import type { KernelCall } from "../../kernels/kernel-call.js";
import type { OnnxGraph, Operand } from "./onnx-graph.js";

/** The activation that a fused kernel applies to its result. */
export function activated(graph: OnnxGraph, call: KernelCall, result: Operand): Operand {
  const activation = fusedActivation(call);
  switch (activation) {
    case "linear":
      return result;
    case "relu":
      return graph.node("Relu", [result], result);
    case "relu6":
      return graph.node("Clip", [result, graph.scalar(0), graph.scalar(6)], result);
    case "elu":
      return graph.node("Elu", [result], result);
    case "sigmoid":
      return graph.node("Sigmoid", [result], result);
    case "leakyrelu":
      return graph.node("LeakyRelu", [result], result, {
        alpha: { float: call.number("leakyreluAlpha") },
      });
  }
}
