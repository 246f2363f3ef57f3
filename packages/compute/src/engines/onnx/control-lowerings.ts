import { loopOf } from "../../kernels/control-kernels.js";
import type { Lowering } from "./lowering.js";
import { OnnxGraph, type Operand } from "./onnx-graph.js";

/** ONNX's `If`: its graphs have no inputs, they see the values around them. */
export const lowerIf: Lowering = ({ graph, inputs, outputs, bodies, lowerBody }) => {
  const [condition, ...operands] = inputs as Operand[];
  const branches = bodies.map((body) => {
    const inner = new OnnxGraph({ parent: graph });
    lowerBody(inner, body, operands);
    return { graph: inner.content() };
  });
  return graph.nodes("If", [condition!], outputs, {
    then_branch: branches[0]!,
    else_branch: branches[1]!,
  });
};

/** ONNX's `Scan`, whose graph gets the carried values and the slices as inputs and sees the rest around it. */
export const lowerLoop: Lowering = ({ graph, call, inputs, outputs, bodies, lowerBody }) => {
  const { times, carriedCount, sequenceCount, isReversed } = loopOf(call);
  const [body] = bodies;
  const inner = new OnnxGraph({ parent: graph });
  const given = carriedCount + sequenceCount;
  const operands = inputs.map((operand, index) =>
    index < given ? inner.input(body!.values[body!.inputs[index]!]!) : operand!,
  );
  const scanned = inputs.slice(0, given);
  if (sequenceCount === 0) {
    // A Scan runs as often as its sequences are long: one that nobody reads.
    scanned.push(graph.splat({ shape: [times], dtype: "bool" }, 0));
    inner.input({ shape: [], dtype: "bool" });
  }
  lowerBody(inner, body!, operands);
  const scannedCount = Math.max(1, sequenceCount);
  const direction = isReversed ? 1 : 0;
  return graph.nodes("Scan", scanned, outputs, {
    body: { graph: inner.content() },
    num_scan_inputs: scannedCount,
    scan_input_directions: Array<number>(scannedCount).fill(direction),
    scan_output_directions: Array<number>(outputs.length - carriedCount).fill(direction),
  });
};
