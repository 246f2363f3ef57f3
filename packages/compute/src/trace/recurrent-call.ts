import type * as tf from "@tensorflow/tfjs";
import { loadTensorFlow } from "../tensorflow.js";
import { loop } from "./control-flow.js";
import { lstm } from "./lstm.js";

/** Shorter sequences of other cells than an LSTM's run faster unrolled; longer ones take too many nodes. */
const LOOP_FROM_TIMES = 32;

/** What TensorFlow.js's recurrent layers (SimpleRNN, LSTM, GRU) have and do not declare. */
interface RecurrentLayer extends tf.layers.Layer {
  readonly cell: tf.layers.Layer & {
    readonly units?: number;
    readonly dropout?: number;
    readonly recurrentDropout?: number;
  };
  readonly stateful: boolean;
  readonly goBackwards: boolean;
  readonly returnSequences: boolean;
  readonly returnState: boolean;
  getInitialState(inputs: tf.Tensor): tf.Tensor | tf.Tensor[];
}

type Call = tf.layers.Layer["call"];

/**
 * What a recurrent layer's `call` gives, as a plan runs it best: LSTMs by a step of their own, long sequences of other
 * cells as a loop.
 *
 * @returns undefined where the layer must be called: masks, dropout, states kept between batches, short sequences of
 *   other cells
 */
export function recurrentCall(
  layer: tf.layers.Layer,
  inputs: Parameters<Call>[0],
  kwargs: Parameters<Call>[1],
): ReturnType<Call> | undefined {
  if (!isRecurrent(layer)) return undefined;
  const [x, ...others] = [inputs].flat();
  const times = x?.shape[1] ?? 0;
  const { cell, goBackwards, returnSequences, returnState } = layer;
  const drops = (cell.dropout ?? 0) > 0 || (cell.recurrentDropout ?? 0) > 0;
  const { mask, initialState, constants, training } = kwargs as Partial<Record<string, unknown>>;
  if (x?.rank !== 3 || others.length > 0 || layer.stateful) return undefined;
  if (mask != null || constants != null || drops) return undefined;

  const inOrder = x.transpose<tf.Tensor3D>([1, 0, 2]);
  const byTime = goBackwards ? loadTensorFlow().reverse(inOrder, 0) : inOrder;
  const plainLstm = initialState == null && !returnState ? plainLstmOf(cell) : undefined;
  if (plainLstm !== undefined) {
    const outputs = lstm({ ...plainLstm, x: byTime });
    if (returnSequences) return outputs.transpose([1, 0, 2]);
    return outputs.slice([times - 1], [1]).squeeze([0]);
  }
  if (times < LOOP_FROM_TIMES) return undefined;
  const initial = (initialState ?? layer.getInitialState(x)) as tf.Tensor | tf.Tensor[];
  const { carried, stacked } = loop({
    carried: [initial].flat(),
    sequences: [byTime],
    shared: cell.weights.map((weight) => weight.read()),
    body: (states, [slice]) => {
      const results = cell.call([slice!, ...states], { training }) as tf.Tensor[];
      return { carried: results.slice(1), stacked: returnSequences ? results.slice(0, 1) : [] };
    },
  });
  // The state that comes first is the output.
  const output = returnSequences ? stacked[0]!.transpose([1, 0, 2]) : carried[0]!;
  return returnState ? [output, ...carried] : output;
}

/** Weights and activation of an LSTM's cell, if it is one with the usual activations. */
function plainLstmOf(cell: tf.layers.Layer) {
  if (cell.getClassName() !== "LSTMCell") return undefined;
  const { activation, recurrentActivation, useBias } = cell.getConfig();
  if (activation !== "tanh" || useBias !== true) return undefined;
  if (recurrentActivation !== "hardSigmoid" && recurrentActivation !== "sigmoid") return undefined;
  const [kernel, recurrentKernel, bias] = cell.weights.map((weight) => weight.read());
  return {
    kernel: kernel as tf.Tensor2D,
    recurrentKernel: recurrentKernel as tf.Tensor2D,
    bias: bias as tf.Tensor1D,
    recurrentActivation,
  } as const;
}

function isRecurrent(layer: tf.layers.Layer): layer is RecurrentLayer {
  const { cell } = layer as Partial<RecurrentLayer>;
  // Stacked cells have no units of their own, and order their states otherwise.
  return cell?.units !== undefined && "getInitialState" in layer;
}
