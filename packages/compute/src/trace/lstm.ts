import type * as tf from "@tensorflow/tfjs";
import { loadTensorFlow } from "../tensorflow.js";
import { loop } from "./control-flow.js";

/** An LSTM that starts from zeros, in the terms of TensorFlow.js's layer. */
export interface LstmRequest {
  /** [times, batch, inputs] */
  readonly x: tf.Tensor3D;
  /** [inputs, 4 units], in the order input, forget, cell, output; as the next two. */
  readonly kernel: tf.Tensor2D;
  /** [units, 4 units] */
  readonly recurrentKernel: tf.Tensor2D;
  /** [4 units] */
  readonly bias: tf.Tensor1D;
  readonly recurrentActivation: "hardSigmoid" | "sigmoid";
}

/**
 * The outputs of an LSTM at all times, [times, batch, units]: what TensorFlow.js's layer computes, with a gradient of its
 * own. All that does not wait for the time before is computed for all times at once, in both directions (Appleyard,
 * Kocisky and Blunsom 2016, arXiv 1604.01946, section 3.1): six operations a time are left of the backward pass.
 */
export function lstm({ recurrentActivation, ...weights }: LstmRequest): tf.Tensor3D {
  const { customGrad } = loadTensorFlow();
  const run = customGrad((...args) => {
    const save = args.at(-1) as unknown as (tensors: tf.Tensor[]) => void;
    const operands = scaled(args as unknown as Operands, recurrentActivation);
    const forward = forwardPass(operands, recurrentActivation);
    const { outputs, sums, cells } = forward;
    save([...operands.slice(0, 3), outputs, sums, cells]);
    return {
      value: outputs,
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) =>
        backwardPass(dy as tf.Tensor3D, saved as unknown as Saved, recurrentActivation),
    };
  });
  const { x, kernel, recurrentKernel, bias } = weights;
  return run(x, kernel, recurrentKernel, bias);
}

type Operands = readonly [
  x: tf.Tensor3D,
  kernel: tf.Tensor2D,
  recurrentKernel: tf.Tensor2D,
  bias: tf.Tensor1D,
];
type Saved = readonly [
  x: tf.Tensor3D,
  kernel: tf.Tensor2D,
  recurrentKernel: tf.Tensor2D,
  outputs: tf.Tensor3D,
  sums: tf.Tensor3D,
  cells: tf.Tensor3D,
];

/** What the sums of each gate are multiplied with, [4 units]: the slope of the hard sigmoid, 0.2. */
function slopeOf(units: number): tf.Tensor1D {
  const { concat, fill } = loadTensorFlow();
  return concat([fill([2 * units], 0.2), fill([units], 1), fill([units], 0.2)] as tf.Tensor1D[]);
}

/** Weights whose sums are those of the hard sigmoid's line already, so that each time has only to clip them. */
function scaled(
  [x, kernel, recurrentKernel, bias]: Operands,
  activation: LstmRequest["recurrentActivation"],
): Operands {
  if (activation === "sigmoid") return [x, kernel, recurrentKernel, bias];
  const slope = slopeOf(recurrentKernel.shape[0]);
  // 0.5 where the slope is 0.2, 0 where it is 1.
  const offset = slope.mul(-0.625).add(0.625);
  return [x, kernel.mul(slope), recurrentKernel.mul(slope), bias.mul(slope).add(offset)];
}

function forwardPass(
  [x, kernel, recurrentKernel, bias]: Operands,
  activation: LstmRequest["recurrentActivation"],
) {
  const { fused, zeros } = loadTensorFlow();
  const [times, batch, inputs] = x.shape;
  const units = recurrentKernel.shape[0];
  const ofInputs = fused
    .matMul({ a: x.reshape([times * batch, inputs]), b: kernel, bias })
    .reshape([times, batch, 4 * units]);
  const { stacked } = loop({
    carried: [zeros([batch, units]), zeros([batch, units])],
    sequences: [ofInputs],
    shared: [recurrentKernel],
    body: ([output, cell], [ofInput]) => {
      const sum = fused.matMul({ a: output as tf.Tensor2D, b: recurrentKernel, bias: ofInput! });
      const [input, forget, , out] = gatesOf(sum, activation).split(4, 1);
      const candidate = sum.slice([0, 2 * units], [batch, units]).tanh();
      const nextCell = forget!.mul(cell!).add(input!.mul(candidate));
      const nextOutput = out!.mul(nextCell.tanh());
      return { carried: [nextOutput, nextCell], stacked: [nextOutput, sum, nextCell] };
    },
  });
  const [outputs, sums, cells] = stacked as tf.Tensor3D[];
  return { outputs: outputs!, sums: sums!, cells: cells! };
}

function backwardPass(
  dy: tf.Tensor3D,
  [x, kernel, recurrentKernel, outputs, sums, cells]: Saved,
  activation: LstmRequest["recurrentActivation"],
): tf.Tensor[] {
  const { concat, zeros } = loadTensorFlow();
  const [times, batch, inputs] = x.shape;
  const units = recurrentKernel.shape[0];
  const flat = (tensor: tf.Tensor): tf.Tensor2D => tensor.reshape([times * batch, -1]);
  /** What was there a time before. */
  const before = (tensor: tf.Tensor3D): tf.Tensor3D =>
    concat([zeros<tf.Rank.R3>([1, batch, units]), tensor.slice([0], [times - 1])], 0);

  // How much the sums of the gates follow the cell (input, forget, candidate) and the output (out), at all times.
  const gates = gatesOf(sums, activation);
  const [input, forget, , out] = gates.split(4, 2) as tf.Tensor3D[];
  const [slopeIn, slopeForget, , slopeOut] = slopesOf(gates, sums, activation).split(4, 2);
  const candidate = sums.slice([0, 0, 2 * units], [times, batch, units]).tanh();
  const ofCell = cells.tanh();
  const factors = concat(
    [
      candidate.mul(slopeIn!),
      before(cells).mul(slopeForget!),
      input!.mul(tanhSlope(candidate)),
      ofCell.mul(slopeOut!),
    ],
    2,
  );
  const cellByOutput = out!.mul(tanhSlope(ofCell));

  const { stacked } = loop({
    carried: [zeros([batch, units]), zeros([batch, units])],
    sequences: [dy, cellByOutput, factors, forget!],
    shared: [recurrentKernel],
    isReversed: true,
    body: ([fromLater, cellFromLater], [dOutputHere, byOutput, factor, keep]) => {
      const dOutput = fromLater!.add(dOutputHere!);
      const dCell = cellFromLater!.add(dOutput.mul(byOutput!));
      const dSum = concat([dCell, dCell, dCell, dOutput], 1).mul(factor!);
      const carried = [dSum.matMul(recurrentKernel, false, true), dCell.mul(keep!)];
      return { carried, stacked: [dSum] };
    },
  });
  const dSums = flat(stacked[0]!);
  const dx = dSums.matMul(kernel, false, true).reshape([times, batch, inputs]);
  const gradients = [
    flat(x).matMul<tf.Tensor>(dSums, true),
    flat(before(outputs)).matMul<tf.Tensor>(dSums, true),
    dSums.sum(0),
  ];
  if (activation === "sigmoid") return [dx, ...gradients];
  const slope = slopeOf(units);
  return [dx, ...gradients.map((gradient) => gradient.mul(slope))];
}

function gatesOf(sums: tf.Tensor, activation: LstmRequest["recurrentActivation"]): tf.Tensor {
  return activation === "sigmoid" ? sums.sigmoid() : sums.clipByValue(0, 1);
}

/** The derivative of the gates by their sums; as in TensorFlow.js, that of a clip is 1 at the corners too. */
function slopesOf(
  gates: tf.Tensor,
  sums: tf.Tensor,
  activation: LstmRequest["recurrentActivation"],
): tf.Tensor {
  if (activation === "sigmoid") return gates.mul(gates.mul(-1).add(1));
  return sums.equal(gates).toFloat();
}

function tanhSlope(value: tf.Tensor): tf.Tensor {
  return value.square().mul(-1).add(1);
}
