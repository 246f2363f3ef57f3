import type * as tf from "@tensorflow/tfjs";
import {
  layoutOf,
  PsgdError,
  type Plan,
  type PlanArray,
  type PlanAttribute,
  type PlanDType,
  type PlanNode,
  type PlanValue,
} from "@psgd/core";
import { KernelCall, sameShape } from "../kernels/kernel-call.js";
import { kernelSignature } from "../kernels/kernels.js";
import { loadTensorFlow } from "../tensorflow.js";
import { ARRAY_OF, requireInputs, validatePlan } from "../validate-plan.js";
import { createPlanBackend, PLAN_BACKEND, type PlanBackend } from "./plan-backend.js";

/** What a traced step gives back. */
export interface StepResult {
  readonly outputs: Readonly<Record<string, tf.Tensor>>;
  /** By parameter; `null` where the loss does not depend on it; empty for a plan without backward pass. */
  readonly gradients: readonly (tf.Tensor | null)[];
}

/** A step to trace: ordinary, synchronous TensorFlow.js. */
export interface TraceRequest {
  readonly name: string;
  readonly inputs: readonly (PlanValue & { readonly name: string })[];
  /** The variables that become the plan's parameters, in the order of its layout. */
  readonly parameters: readonly { readonly name: string; readonly variable: tf.Variable }[];
  /** Layers to name in messages. */
  readonly layers?: readonly tf.layers.Layer[];
  readonly step: (inputs: Readonly<Record<string, tf.Tensor>>, tracing: Tracing) => StepResult;
}

/** What a step may ask about itself while it is traced. */
export interface Tracing {
  /** The logits, if `tensor` is a softmax of them; else `tensor`. */
  logitsOf(tensor: tf.Tensor): tf.Tensor;
  /** Keeps a tensor beyond the scope that made it, until the trace ends. */
  keep<T extends tf.Tensor>(tensor: T): T;
}

/**
 * Records the kernels that a step dispatches as a plan. Nothing is computed: kernels yield shapes only, so a trace
 * takes milliseconds. What does not reach an output or gradient is left out; tensors the step captures become
 * constants, and so do JavaScript numbers (a learning rate given as a number, a loop count).
 *
 * The previous backend, the variables and everything global are as before when this returns or throws.
 *
 * @throws {PsgdError} PLAN_INVALID if the step uses a kernel that plans do not have, reads a value, draws random
 *   numbers, creates or assigns variables, or makes a plan beyond the limits
 */
export function trace(request: TraceRequest): Plan {
  const tensorflow = loadTensorFlow();
  const engine = tensorflow.engine();
  if (engine.backendNames().includes(PLAN_BACKEND)) {
    throw new PsgdError("PLAN_INVALID", "trace: expected one trace at a time, got a nested one");
  }
  const previousBackend = tensorflow.getBackend();
  const recorder = new Recorder(tensorflow, request);
  const layerHooks = hookLayers(request.layers ?? [], recorder);
  const variables = keepVariables(tensorflow);
  tensorflow.registerBackend(PLAN_BACKEND, () => recorder.backend);
  const kernels = tensorflow.getKernelsForBackend("cpu").map(({ kernelName }) => kernelName);
  for (const kernelName of kernels) {
    tensorflow.registerKernel({
      kernelName,
      backendName: PLAN_BACKEND,
      kernelFunc: ({ inputs, attrs }) => recorder.record(kernelName, inputs, attrs ?? {}),
    });
  }
  let plan: Plan | undefined;
  try {
    // Setting a backend that initialises synchronously takes effect before its promise resolves.
    void tensorflow.setBackend(PLAN_BACKEND);
    tensorflow.tidy(() => {
      const result: unknown = request.step(recorder.makeInputs(), recorder);
      if (result instanceof Promise) {
        throw new PsgdError("PLAN_INVALID", "trace: expected a synchronous step, got a promise");
      }
      plan = recorder.finish(result as StepResult);
    });
    variables.requireUntouched();
  } finally {
    recorder.release();
    layerHooks.release();
    void tensorflow.setBackend(previousBackend);
    variables.restore();
    for (const kernelName of kernels) tensorflow.unregisterKernel(kernelName, PLAN_BACKEND);
    tensorflow.removeBackend(PLAN_BACKEND);
  }
  return validatePlan(plan);
}

class Recorder implements Tracing {
  readonly backend: PlanBackend;
  readonly layerStack: string[] = [];
  readonly #tensorflow: ReturnType<typeof loadTensorFlow>;
  readonly #request: TraceRequest;
  readonly #values: PlanValue[] = [];
  readonly #nodes: PlanNode[] = [];
  readonly #constants: { value: number; data: PlanArray }[] = [];
  readonly #constantIds = new Map<string, number>();
  /** By data id of a tensor, then by type and shape: captured reshapes share one data id. */
  readonly #ids = new Map<object, { id: number; value: PlanValue }[]>();
  readonly #layerOf = new Map<number, string>();
  readonly #logitsOf = new Map<number, tf.Tensor>();
  readonly #kept: tf.Tensor[] = [];
  readonly #inputs: number[] = [];
  readonly #parameters: number[] = [];

  constructor(tensorflow: ReturnType<typeof loadTensorFlow>, request: TraceRequest) {
    this.#tensorflow = tensorflow;
    this.#request = request;
    this.backend = createPlanBackend(
      tensorflow,
      () => this.#refuseRandomness(),
      () => this.where(),
    );
    for (const { variable } of request.parameters) {
      const id = this.#newValue({ shape: variable.shape, dtype: "float32" });
      this.#parameters.push(id);
      this.#remember(variable.dataId, id);
    }
  }

  where(): string {
    const layer = this.layerStack.at(-1);
    return layer === undefined ? `step \`${this.#request.name}\`` : `layer \`${layer}\``;
  }

  makeInputs(): Record<string, tf.Tensor> {
    const inputs: Record<string, tf.Tensor> = {};
    for (const { name, shape, dtype } of this.#request.inputs) {
      const id = this.#newValue({ shape, dtype });
      this.#inputs.push(id);
      inputs[name] = this.#tensorflow.engine().makeTensorFromTensorInfo(this.#infoOf(id));
    }
    return inputs;
  }

  /** Called instead of each kernel: appends a node and returns tensors without data. */
  record(
    kernel: string,
    inputs: tf.NamedTensorInfoMap | readonly tf.TensorInfo[],
    attributes: tf.NamedAttrMap,
  ): tf.TensorInfo | tf.TensorInfo[] {
    const signature = kernelSignature(kernel);
    if (signature === undefined) this.#refuseKernel(kernel, inputs);
    const tensors =
      signature.inputs === "list"
        ? Object.values(inputs)
        : signature.inputs.map((name) => named(inputs, name));
    const ids = tensors.map((tensor) => (tensor === undefined ? null : this.#idOf(tensor)));
    while (ids.at(-1) === null) ids.pop();
    const inputValues = ids.map((id) => (id === null ? null : this.#values[id]!));
    requireInputs(kernel, signature.inputs, inputValues, this.where());
    const recorded = this.#attributes(kernel, signature.attributes, attributes);
    const call = new KernelCall(kernel, inputValues, recorded, this.where());
    const outputs = signature.infer(call);

    const [input] = ids;
    if (typeof input === "number" && isSameValue(kernel, this.#values[input]!, outputs[0]!)) {
      return this.#infoOf(input);
    }
    const outputIds = outputs.map((value) => this.#newValue(value));
    this.#nodes.push({ kernel, inputs: ids, attributes: recorded, outputs: outputIds });
    const layer = this.layerStack.at(-1) ?? this.#layerOf.get(ids.find((id) => id !== null) ?? -1);
    if (layer !== undefined) for (const id of outputIds) this.#layerOf.set(id, layer);
    if (kernel === "Softmax") {
      // The logits must outlive the layer that made them, so that a loss can be connected to them.
      this.#logitsOf.set(outputIds[0]!, this.keep(tensors[0] as tf.Tensor));
    }
    const infos = outputIds.map((id) => this.#infoOf(id));
    return returnsList(kernel) ? infos : infos[0]!;
  }

  logitsOf(tensor: tf.Tensor): tf.Tensor {
    return this.#logitsOf.get(this.#idOf(tensor)) ?? tensor;
  }

  keep<T extends tf.Tensor>(tensor: T): T {
    this.#kept.push(tensor);
    return this.#tensorflow.keep(tensor);
  }

  /** The plan of what was recorded: live nodes only, values numbered in order of definition. */
  finish({ outputs, gradients }: StepResult): Plan {
    const outputIds = Object.entries(outputs).map(([name, tensor]) => ({
      name,
      value: this.#idOf(tensor),
    }));
    const gradientIds = gradients.map((tensor) => (tensor === null ? null : this.#idOf(tensor)));
    const isLive = new Set<number>(outputIds.map(({ value }) => value));
    for (const id of gradientIds) if (id !== null) isLive.add(id);
    const liveNodes = this.#nodes
      .reverse()
      .filter((node) => {
        if (!node.outputs.some((id) => isLive.has(id))) return false;
        for (const id of node.inputs) if (id !== null) isLive.add(id);
        return true;
      })
      .reverse();
    const constants = this.#constants.filter(({ value }) => isLive.has(value));
    const order = [
      ...this.#inputs,
      ...this.#parameters,
      ...constants.map(({ value }) => value),
      ...liveNodes.flatMap((node) => node.outputs),
    ];
    const renumbered = new Map(order.map((id, index) => [id, index]));
    const renumber = (id: number): number => renumbered.get(id)!;
    const renumberOptional = (id: number | null): number | null =>
      id === null ? null : renumber(id);
    return {
      format: "psgd-plan",
      version: 1,
      name: this.#request.name,
      values: order.map((id) => this.#values[id]!),
      inputs: this.#request.inputs.map(({ name }, index) => ({
        name,
        value: renumber(this.#inputs[index]!),
      })),
      layout: layoutOf(
        this.#request.parameters.map(({ name, variable }) => ({ name, shape: variable.shape })),
      ),
      parameters: this.#parameters.map(renumber),
      constants: constants.map(({ value, data }) => ({ value: renumber(value), data })),
      nodes: liveNodes.map((node) => ({
        ...node,
        inputs: node.inputs.map(renumberOptional),
        outputs: node.outputs.map(renumber),
      })),
      outputs: outputIds.map(({ name, value }) => ({ name, value: renumber(value) })),
      gradients: gradientIds.map(renumberOptional),
    };
  }

  /** Frees the tensors that outlived their layer. */
  release(): void {
    for (const tensor of this.#kept) tensor.dispose();
  }

  #newValue({ shape, dtype }: PlanValue): number {
    return this.#values.push({ shape: [...shape], dtype }) - 1;
  }

  #remember(dataId: object, id: number): void {
    const entry = { id, value: this.#values[id]! };
    const entries = this.#ids.get(dataId);
    if (entries === undefined) this.#ids.set(dataId, [entry]);
    else entries.push(entry);
  }

  /** A tensor of its own for a value, however many tensors stand for it already. */
  #infoOf(id: number): tf.TensorInfo {
    const dataId = this.backend.newDataId();
    this.#remember(dataId, id);
    const { shape, dtype } = this.#values[id]!;
    return { dataId, shape: [...shape], dtype };
  }

  #idOf(tensor: tf.TensorInfo): number {
    const known = this.#ids
      .get(tensor.dataId)
      ?.find(({ value }) => value.dtype === tensor.dtype && sameShape(value.shape, tensor.shape));
    return known?.id ?? this.#capture(tensor);
  }

  #capture(tensor: tf.TensorInfo): number {
    const { shape } = tensor;
    const dtype = this.#planType(tensor.dtype);
    const variables = Object.values(this.#tensorflow.engine().state.registeredVariables);
    const variable = variables.find(({ dataId }) => dataId === tensor.dataId);
    if (variable !== undefined) {
      throw new PsgdError(
        "PLAN_INVALID",
        `variable \`${variable.name}\`: expected only trained weights of the model in its step, got ` +
          `another variable; ${this.where()}; make it a trainable weight of a layer, or a constant tensor`,
      );
    }
    // A float32 tensor may hold another array (tfjs-core `oneHot().toFloat()`), so the values are converted.
    const data = ARRAY_OF[dtype].from(
      this.#tensorflow.engine().readSync(tensor.dataId) as ArrayLike<number>,
    );
    const id = this.#constant({ shape, dtype }, data);
    this.#remember(tensor.dataId, id);
    return id;
  }

  #constant(value: PlanValue, data: PlanArray): number {
    const isEven = data.length > 1 && data.every((element) => Object.is(element, data[0]));
    const key =
      isEven || data.length <= 64
        ? `${value.dtype}[${value.shape.join()}]${isEven ? "*" : ""}${[...(isEven ? data.subarray(0, 1) : data)].map((v) => (Object.is(v, -0) ? "-0" : v)).join()}`
        : undefined;
    const known = key === undefined ? undefined : this.#constantIds.get(key);
    if (known !== undefined) return known;
    const id = this.#newValue(value);
    if (isEven && Number.isFinite(data[0])) {
      // A million ones (the gradient of a sum, say) travel as one.
      const attributes = { shape: [...value.shape], value: data[0]!, dtype: value.dtype };
      this.#nodes.push({ kernel: "Fill", inputs: [], attributes, outputs: [id] });
    } else {
      this.#constants.push({ value: id, data });
    }
    if (key !== undefined) this.#constantIds.set(key, id);
    return id;
  }

  #planType(dtype: string): PlanDType {
    if (dtype === "float32" || dtype === "int32" || dtype === "bool") return dtype;
    throw new PsgdError(
      "PLAN_INVALID",
      `tensor: expected float32, int32 or bool, got ${dtype}; ${this.where()}`,
    );
  }

  #attributes(
    kernel: string,
    names: readonly string[],
    attributes: tf.NamedAttrMap,
  ): Record<string, PlanAttribute> {
    const recorded: Record<string, PlanAttribute> = {};
    for (const name of names) {
      const value: unknown = attributes[name];
      if (value === undefined || value === null) continue;
      recorded[name] = this.#plain(value, `attribute \`${name}\` of kernel ${kernel}`);
    }
    return recorded;
  }

  #plain(value: unknown, what: string): PlanAttribute {
    if (ArrayBuffer.isView(value)) return Array.from(value as Float32Array);
    if (Array.isArray(value)) return value.map((entry) => this.#plain(entry, what));
    if (typeof value === "number" || typeof value === "string" || typeof value === "boolean") {
      return value;
    }
    throw new PsgdError(
      "PLAN_INVALID",
      `${what}: expected plain values, got a ${typeof value}; ${this.where()}`,
    );
  }

  #refuseKernel(kernel: string, inputs: tf.NamedTensorInfoMap | readonly tf.TensorInfo[]): never {
    const layers = Object.values(inputs).map((tensor: tf.TensorInfo | undefined) => {
      const known = tensor === undefined ? undefined : this.#ids.get(tensor.dataId)?.[0];
      return known === undefined ? undefined : this.#layerOf.get(known.id);
    });
    const layer = this.layerStack.at(-1) ?? layers.find((name) => name !== undefined);
    throw new PsgdError(
      "PLAN_INVALID",
      `kernel ${kernel}: expected a kernel that plans have, got one they have not; ` +
        (layer === undefined ? this.where() : `layer \`${layer}\``) +
        "; use layers that need other kernels, or add this one to compute/src/kernels",
      { details: { kernel, ...(layer === undefined ? {} : { layer }) } },
    );
  }

  #refuseRandomness(): void {
    const scope = this.#tensorflow
      .engine()
      .state.scopeStack.find(({ name }) =>
        /^(random|truncatedNormal|multinomial|rand_)/.test(name),
      );
    if (scope === undefined) return;
    throw new PsgdError(
      "PLAN_INVALID",
      `operation ${scope.name.replace(/_*op$/, "")}: expected no random numbers in a step, got some; ` +
        `${this.where()}; a plan would repeat the same numbers at each step: leave out dropout and noise layers`,
    );
  }
}

/** Kernels that pass their input through make no node: the output is another name of the input. */
function isSameValue(kernel: string, input: PlanValue, output: PlanValue): boolean {
  return (
    (kernel === "Identity" || kernel === "Cast" || kernel === "Reshape") &&
    input.dtype === output.dtype &&
    sameShape(input.shape, output.shape)
  );
}

function returnsList(kernel: string): boolean {
  return kernel === "SplitV" || kernel === "Unpack";
}

function named(
  inputs: tf.NamedTensorInfoMap | readonly tf.TensorInfo[],
  name: string,
): tf.TensorInfo | undefined {
  return (inputs as tf.NamedTensorInfoMap)[name.replace("?", "")] ?? undefined;
}

/** Tells the recorder which layer is at work; `release` leaves the layers as they were. */
function hookLayers(
  layers: readonly tf.layers.Layer[],
  recorder: Recorder,
): { release: () => void } {
  const undo = layers.map((layer) => {
    const own = Object.getOwnPropertyDescriptor(layer, "call");
    const call = layer.call.bind(layer);
    layer.call = (inputs, kwargs) => {
      recorder.layerStack.push(layer.name);
      const result = call(inputs, kwargs);
      // Left on the stack if the call throws, so that the message names the layer.
      recorder.layerStack.pop();
      return result;
    };
    return () => {
      if (own === undefined) delete (layer as Partial<tf.layers.Layer>).call;
      else Object.defineProperty(layer, "call", own);
    };
  });
  return { release: () => undo.forEach((restore) => restore()) };
}

/** Watches all variables of the process during a trace: a plan has no state, and tracing must not change any. */
function keepVariables(tensorflow: ReturnType<typeof loadTensorFlow>): {
  requireUntouched: () => void;
  restore: () => void;
} {
  const registered = tensorflow.engine().state.registeredVariables;
  const before = Object.values(registered).map((variable) => ({
    variable,
    value: tensorflow.keep(variable.clone()),
  }));
  const names = new Set(Object.keys(registered));
  const assigned = (): tf.Variable[] =>
    before
      .filter(({ variable, value }) => variable.dataId !== value.dataId)
      .map(({ variable }) => variable);
  const created = (): tf.Variable[] =>
    Object.values(registered).filter(({ name }) => !names.has(name));
  return {
    requireUntouched: () => {
      const touched = [...assigned(), ...created()][0];
      if (touched === undefined) return;
      throw new PsgdError(
        "PLAN_INVALID",
        `variable \`${touched.name}\`: expected a step that neither creates nor assigns variables, got one that ` +
          "does; layers that update their own state (batch normalisation) are not supported",
      );
    },
    restore: () => {
      for (const variable of created()) variable.dispose();
      for (const { variable, value } of before) {
        if (variable.dataId !== value.dataId) variable.assign(value);
        value.dispose();
      }
    },
  };
}
