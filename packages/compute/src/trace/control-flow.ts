import type * as tf from "@tensorflow/tfjs";
import { PsgdError } from "@psgd/core";
import { loadTensorFlow, type TensorFlow } from "../tensorflow.js";
import { activeRecorder } from "./active-recorder.js";
import { sameData } from "./same-data.js";

/** A loop for {@link loop}. Tensors of one role have the same shapes and types at each time. */
export interface LoopRequest {
  /** What each time hands to the next; where it starts. */
  readonly carried: readonly tf.Tensor[];
  /** Tensors [times, …], of which each time sees a slice. */
  readonly sequences?: readonly tf.Tensor[];
  /** How often; as long as the sequences are, if left out. */
  readonly times?: number;
  /** Tensors from outside that the body uses and gradients shall flow to, variables among them. */
  readonly shared?: readonly tf.Tensor[];
  /** Begins with the last slice; what is stacked lies where its slice was. */
  readonly isReversed?: boolean;
  readonly body: (
    carried: tf.Tensor[],
    slices: tf.Tensor[],
  ) => { readonly carried: readonly tf.Tensor[]; readonly stacked?: readonly tf.Tensor[] };
}

export interface LoopResult {
  /** After the last time. */
  readonly carried: tf.Tensor[];
  /** [times, …] */
  readonly stacked: tf.Tensor[];
}

/**
 * Repeats a body. In a trace it becomes one node, however often it runs, and has gradients; outside of a trace it is
 * an ordinary loop.
 *
 * @throws {PsgdError} SHAPE_MISMATCH if the sequences are not of one length; PLAN_INVALID if the body is not the same
 *   at each time, or uses what gradients flow to without naming it in `shared`
 */
export function loop(request: LoopRequest): LoopResult {
  const times = timesOf(request);
  return activeRecorder() === undefined ? runLoop(request, times) : recordLoop(request, times);
}

/**
 * Runs one of two functions, as a condition (a bool scalar) says. In a trace both become graphs of one node; outside of
 * a trace the condition is read.
 *
 * @param operands - what gradients shall flow to; both functions take it
 * @throws {PsgdError} PLAN_INVALID if the functions' results differ in shapes or types
 */
export function cond(
  condition: tf.Tensor,
  operands: readonly tf.Tensor[],
  then: Branch,
  otherwise: Branch,
): tf.Tensor[] {
  if (activeRecorder() === undefined) {
    return [...(condition.dataSync()[0] ? then : otherwise)([...operands])];
  }
  // Gradients do not flow to a condition.
  const choice = sameData(loadTensorFlow(), condition);
  return runControl("If", [choice, ...operands], { branches: [then, otherwise] });
}

export type Branch = (operands: tf.Tensor[]) => readonly tf.Tensor[];

function timesOf({ times, sequences = [] }: LoopRequest): number {
  const [length = times] = sequences.map(({ shape }) => shape[0]);
  const isSame = sequences.every(({ shape }) => shape[0] === length);
  if (length !== undefined && isSame && (times === undefined || times === length)) return length;
  throw new PsgdError(
    "SHAPE_MISMATCH",
    `loop: expected sequences of one length${times === undefined ? "" : `, ${times}`}, ` +
      `got (${sequences.map(({ shape }) => `[${shape.join()}]`).join(", ")}); say \`times\` where there are no sequences`,
  );
}

function runLoop(
  { carried: initial, sequences = [], isReversed = false, body }: LoopRequest,
  times: number,
): LoopResult {
  const { stack, unstack } = loadTensorFlow();
  const slices = sequences.map((sequence) => unstack(sequence));
  let carried = [...initial];
  const stacks: tf.Tensor[][] = [];
  for (let i = 0; i < times; i++) {
    const time = isReversed ? times - 1 - i : i;
    const result = body(
      carried,
      slices.map((parts) => parts[time]!),
    );
    carried = [...result.carried];
    result.stacked?.forEach((value, index) => ((stacks[index] ??= [])[time] = value));
  }
  return { carried, stacked: stacks.map((values) => stack(values)) };
}

function recordLoop(request: LoopRequest, times: number): LoopResult {
  const { carried, sequences = [], shared = [], isReversed = false, body } = request;
  const { gradientDepth, kernelDepth } = loadTensorFlow().engine().state;
  // Within a kernel there is no tape; whatever has gradients there has its own.
  const keepsCarried = gradientDepth > 0 && kernelDepth === 0;
  // The backward pass uses them when the scope that made them is over; variables outlive it by themselves.
  for (const tensor of shared) {
    if (!(tensor instanceof loadTensorFlow().Variable)) activeRecorder()!.keep(tensor);
  }
  const attributes: LoopAttributes = {
    times,
    carriedCount: carried.length,
    sequenceCount: sequences.length,
    isReversed,
    keepsCarried,
    shared,
    body: (inputs) => {
      const before = inputs.slice(0, carried.length);
      const result = body(before, inputs.slice(carried.length));
      // The backward pass starts each time from where the forward pass was.
      return [...result.carried, ...(result.stacked ?? []), ...(keepsCarried ? before : [])];
    },
  };
  const outputs = runControl("Loop", [...carried, ...sequences, ...shared], attributes);
  return {
    carried: outputs.slice(0, carried.length),
    stacked: outputs.slice(carried.length, outputs.length - (keepsCarried ? carried.length : 0)),
  };
}

/** Attributes as kernels and gradients get them; they never leave the trace. */
interface LoopAttributes {
  readonly times: number;
  readonly carriedCount: number;
  readonly sequenceCount: number;
  readonly isReversed: boolean;
  /** Whether the last outputs are the carried values before each time. */
  readonly keepsCarried: boolean;
  readonly shared: readonly tf.Tensor[];
  readonly body: Branch;
}

interface IfAttributes {
  readonly branches: readonly [Branch, Branch];
}

const CONTROL = { If: recordIf, Loop: recordLoopKernel };

function runControl(
  kernel: keyof typeof CONTROL,
  inputs: readonly tf.Tensor[],
  attributes: LoopAttributes | IfAttributes,
): tf.Tensor[] {
  // A list is a map by index, to kernels; gradients ask for a list.
  const named = inputs as unknown as tf.NamedTensorMap;
  const attrs = attributes as unknown as tf.NamedAttrMap;
  return loadTensorFlow().engine().runKernel<tf.Tensor[]>(kernel, named, attrs);
}

/** Makes the kernels known to a backend that records, and their gradients. */
export function registerControlKernels(tensorflow: TensorFlow, backendName: string): void {
  for (const [kernelName, record] of Object.entries(CONTROL)) {
    tensorflow.registerKernel({
      kernelName,
      backendName,
      kernelFunc: ({ inputs, attrs }) =>
        record(Object.values(inputs) as tf.Tensor[], attrs as never),
    });
  }
  tensorflow.registerGradient({
    kernelName: "Loop",
    saveAllInputs: true,
    outputsToSave: Array<boolean>(MOST_OUTPUTS).fill(true),
    gradFunc: (dy, saved, attrs) =>
      lazily(loopGradients([dy].flat(), saved, attrs as unknown as LoopAttributes)),
  });
  tensorflow.registerGradient({
    kernelName: "If",
    saveAllInputs: true,
    gradFunc: (dy, saved, attrs) =>
      lazily(ifGradients([dy].flat(), saved, attrs as unknown as IfAttributes)),
  });
}

/** Outputs of one loop that gradients can flow through. */
const MOST_OUTPUTS = 256;

export function unregisterControlKernels(tensorflow: TensorFlow, backendName: string): void {
  for (const kernelName of Object.keys(CONTROL)) {
    tensorflow.unregisterKernel(kernelName, backendName);
    tensorflow.unregisterGradient(kernelName);
  }
}

function recordIf(inputs: readonly tf.Tensor[], { branches }: IfAttributes): tf.TensorInfo[] {
  const recorder = activeRecorder()!;
  const operands = inputs.slice(1);
  const bodies = branches.map((branch) =>
    recorder.recordBody(operands.map(valueOf), branch, operands),
  );
  return recorder.recordControl("If", inputs, {}, bodies);
}

function recordLoopKernel(
  inputs: readonly tf.Tensor[],
  { times, carriedCount, sequenceCount, isReversed, shared, body }: LoopAttributes,
): tf.TensorInfo[] {
  const recorder = activeRecorder()!;
  const declared = inputs.slice(0, carriedCount + sequenceCount);
  const values = declared.map((tensor, index) => {
    const { shape, dtype } = valueOf(tensor);
    return { shape: index < carriedCount ? shape : shape.slice(1), dtype };
  });
  const recorded = recorder.recordBody(values, body, shared);
  return recorder.recordControl(
    "Loop",
    declared,
    { times, carried: carriedCount, sequences: sequenceCount, isReversed },
    [recorded],
  );
}

function loopGradients(
  dys: readonly tf.Tensor[],
  saved: readonly tf.Tensor[],
  { times, carriedCount, sequenceCount, isReversed, shared, body }: LoopAttributes,
): tf.Tensor[] {
  const { zerosLike } = loadTensorFlow();
  const inputCount = carriedCount + sequenceCount + shared.length;
  const sequences = saved.slice(carriedCount, carriedCount + sequenceCount);
  const outputs = saved.slice(inputCount);
  const before = outputs.slice(outputs.length - carriedCount);
  const dStacked = dys.slice(carriedCount, dys.length - carriedCount);
  const back = loop({
    times,
    carried: [...dys.slice(0, carriedCount), ...shared.map((tensor) => zerosLike(tensor))],
    sequences: [...before, ...sequences, ...dStacked],
    shared: [...shared],
    isReversed: !isReversed,
    body: (carried, slices) => {
      const xs = slices.slice(0, inputCount - shared.length);
      const given = [...carried.slice(0, carriedCount), ...slices.slice(xs.length)];
      const gradients = vectorJacobian(
        // The carried values that the forward pass kept are not results.
        () => body(xs).slice(0, given.length),
        [...xs, ...shared],
        given,
      );
      return {
        carried: [
          ...gradients.slice(0, carriedCount),
          ...gradients
            .slice(xs.length)
            .map((gradient, index) => carried[carriedCount + index]!.add(gradient)),
        ],
        stacked: gradients.slice(carriedCount, xs.length),
      };
    },
  });
  return [
    ...back.carried.slice(0, carriedCount),
    ...back.stacked,
    ...back.carried.slice(carriedCount),
  ];
}

function ifGradients(
  dys: readonly tf.Tensor[],
  [condition, ...operands]: readonly tf.Tensor[],
  { branches }: IfAttributes,
): tf.Tensor[] {
  const backward =
    (branch: Branch): Branch =>
    (inputs) => {
      const xs = inputs.slice(0, operands.length);
      return vectorJacobian(() => branch(xs), xs, inputs.slice(operands.length));
    };
  const gradients = cond(
    condition!,
    [...operands, ...dys],
    backward(branches[0]),
    backward(branches[1]),
  );
  return [loadTensorFlow().zeros(condition!.shape), ...gradients];
}

/** The gradient of the results' product with `given`, by each of `xs`; zeros where there is none. */
function vectorJacobian(
  results: () => readonly tf.Tensor[],
  xs: readonly tf.Tensor[],
  given: readonly tf.Tensor[],
): tf.Tensor[] {
  const tensorflow = loadTensorFlow();
  const { state } = tensorflow.engine();
  const { activeTape, kernelDepth } = state;
  // Within a kernel nothing is put on a tape; this one is about to make its own.
  state.kernelDepth = 0;
  try {
    const product = (): tf.Tensor =>
      results()
        .map((result, index) => [result, given[index]!] as const)
        .filter(([result]) => result.dtype === "float32")
        .map(([result, dy]) => result.mul(dy).sum())
        .reduce((sum, term) => sum.add(term), tensorflow.scalar(0));
    const { grads } = tensorflow.engine().gradients(product, [...xs], undefined, true);
    return xs.map((x, index) => (grads[index] as tf.Tensor | null) ?? tensorflow.zerosLike(x));
  } finally {
    // Gradients within gradients: the engine forgets the tape that it is working on.
    state.activeTape = activeTape;
    state.kernelDepth = kernelDepth;
  }
}

function valueOf({ shape, dtype }: tf.Tensor) {
  return { shape, dtype: dtype as "float32" };
}

function lazily(gradients: readonly tf.Tensor[]): ReturnType<tf.GradFunc> {
  return gradients.map((gradient) => () => gradient) as unknown as ReturnType<tf.GradFunc>;
}
