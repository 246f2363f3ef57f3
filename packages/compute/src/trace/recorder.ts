import type * as tf from "@tensorflow/tfjs";
import {
  layoutOf,
  PsgdError,
  type Plan,
  type PlanArray,
  type PlanAttribute,
  type PlanBody,
  type PlanDType,
  type PlanNoise,
  type PlanValue,
} from "@psgd/core";
import { bodyValues, elementCount, KernelCall, sameValue } from "../kernels/kernel-call.js";
import { kernelSignature } from "../kernels/kernels.js";
import type { TensorFlow } from "../tensorflow.js";
import { ARRAY_OF, requireInputs } from "../validate-plan.js";
import { finishGraph, GraphRecorder } from "./graph-recorder.js";
import { NoiseProbe } from "./noise-probe.js";
import type { PlanBackend } from "./plan-backend.js";
import type { StepResult, TraceRequest, TracedVariable, Tracing } from "./trace-request.js";

/** A body that was recorded: the graph, and the tensors outside of it that it takes after its declared inputs. */
export interface RecordedBody {
  readonly body: PlanBody;
  /** Values of the graph around it. */
  readonly captured: readonly number[];
}

/** Records what one call of a step dispatches. */
export class Recorder implements Tracing {
  readonly #backend: PlanBackend;
  readonly layerStack: string[] = [];
  /** Variables that turned out to be state; the step must be recorded again with them. */
  readonly found: tf.Variable[] = [];
  readonly #tensorflow: TensorFlow;
  readonly #request: TraceRequest;
  readonly #values: PlanValue[] = [];
  /** By value: the graph that defines it. */
  readonly #graphOf: GraphRecorder[] = [];
  readonly #root = new GraphRecorder();
  #graph = this.#root;
  readonly #noise: PlanNoise[] = [];
  /** By data id, until the tensor is used and its shape is known. */
  readonly #noiseOf = new Map<object, Omit<PlanNoise, "value">>();
  readonly #probe: NoiseProbe;
  readonly #state: readonly TracedVariable[];
  readonly #stateValues: number[];
  /** By data id of a tensor, then by type and shape: captured reshapes share one data id. */
  readonly #ids = new Map<object, { id: number; value: PlanValue }[]>();
  readonly #layerOf = new Map<number, string>();
  readonly #logitsOf = new Map<number, tf.Tensor>();
  readonly #madeFrom = new Map<tf.Variable, number>();
  readonly #kept: tf.Tensor[] = [];
  readonly #inputs: number[] = [];
  readonly #parameters: number[];

  /** @param state - variables that the step may read and assign */
  constructor(
    tensorflow: TensorFlow,
    backend: PlanBackend,
    request: TraceRequest,
    state: readonly TracedVariable[],
  ) {
    this.#tensorflow = tensorflow;
    this.#backend = backend;
    this.#request = request;
    this.#probe = new NoiseProbe(tensorflow);
    const define = ({ variable }: TracedVariable): number => {
      const id = this.#newValue({ shape: variable.shape, dtype: "float32" });
      this.#remember(variable.dataId, id);
      return id;
    };
    this.#parameters = request.parameters.map(define);
    this.#state = state;
    this.#stateValues = state.map(define);
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
    this.#graph.nodes.push({ kernel, inputs: ids, attributes: recorded, outputs: outputIds });
    const layer = this.layerStack.at(-1) ?? this.#layerOf.get(ids.find((id) => id !== null) ?? -1);
    if (layer !== undefined) for (const id of outputIds) this.#layerOf.set(id, layer);
    if (kernel === "Softmax") {
      // The logits must outlive the layer that made them, so that a loss can be connected to them.
      this.#logitsOf.set(outputIds[0]!, this.keep(tensors[0] as tf.Tensor));
    }
    const infos = outputIds.map((id) => this.#infoOf(id));
    return returnsList(kernel) ? infos : infos[0]!;
  }

  /** Appends a node with bodies; what these take from outside becomes its last inputs, in all bodies alike. */
  recordControl(
    kernel: "If" | "Loop",
    inputs: readonly tf.TensorInfo[],
    attributes: Readonly<Record<string, PlanAttribute>>,
    bodies: readonly RecordedBody[],
  ): tf.TensorInfo[] {
    const captured = [...new Set(bodies.flatMap((body) => body.captured))];
    const ids = [...inputs.map((tensor) => this.#idOf(tensor)), ...captured];
    const complete = bodies.map((body) => this.#withCaptures(body, captured));
    const call = new KernelCall(
      kernel,
      ids.map((id) => this.#values[id]!),
      attributes,
      this.where(),
      complete.map(bodyValues),
    );
    const outputs = kernelSignature(kernel)!
      .infer(call)
      .map((value) => this.#newValue(value));
    this.#graph.nodes.push({ kernel, inputs: ids, attributes, outputs, bodies: complete });
    return outputs.map((id) => this.#infoOf(id));
  }

  /**
   * Records what `run` dispatches as a graph of its own.
   *
   * @param inputs - shapes and types of its declared inputs
   * @param shared - tensors of outside that gradients reach; where there are gradients, others must not be used
   */
  recordBody(
    inputs: readonly PlanValue[],
    run: (tensors: tf.Tensor[]) => readonly tf.Tensor[],
    shared: readonly tf.Tensor[],
  ): RecordedBody {
    const known =
      this.#tensorflow.engine().state.gradientDepth > 0
        ? new Set(shared.map((tensor) => this.#idOf(tensor)))
        : undefined;
    const graph = new GraphRecorder(this.#graph);
    const outer = this.#graph;
    this.#graph = graph;
    try {
      const declared = inputs.map((value) => this.#newValue(value));
      let outputs: readonly number[] = [];
      this.#tensorflow.tidy(() => {
        const tensors = declared.map((id) =>
          this.#tensorflow.engine().makeTensorFromTensorInfo(this.#infoOf(id)),
        );
        outputs = run(tensors).map((tensor) => this.#idOf(tensor));
      });
      const { body, captured } = finishGraph(graph, this.#values, declared, outputs);
      const unknown = captured.find(
        (id) => this.#values[id]!.dtype === "float32" && known?.has(id) === false,
      );
      if (unknown !== undefined) {
        throw new PsgdError(
          "PLAN_INVALID",
          `body of a loop or condition: expected what gradients flow to among its operands or in \`shared\`, ` +
            `got another tensor [${this.#values[unknown]!.shape.join()}] from outside; ${this.where()}; name it there`,
        );
      }
      return { body, captured };
    } finally {
      this.#graph = outer;
    }
  }

  logitsOf(tensor: tf.Tensor): tf.Tensor {
    return this.#logitsOf.get(this.#idOf(tensor)) ?? tensor;
  }

  keep<T extends tf.Tensor>(tensor: T): T {
    if (tensor.kept) return tensor;
    this.#kept.push(tensor);
    return this.#tensorflow.keep(tensor);
  }

  /** The plan of what was recorded; state that was assigned has its new value after a run. */
  finish({ outputs, gradients }: StepResult): Plan {
    const outputIds = Object.values(outputs).map((tensor) => this.#idOf(tensor));
    const gradientIds = gradients.map((tensor) => (tensor === null ? null : this.#idOf(tensor)));
    const nextIds = this.#state.map(({ variable }, index) => {
      const id = this.#idOf(variable);
      return id === this.#stateValues[index] ? null : id;
    });
    const kept = [...outputIds, ...gradientIds, ...nextIds].filter((id) => id !== null);
    const noise = this.#noise.filter(({ value }) =>
      this.#root.nodes.some((node) => node.inputs.includes(value)),
    );
    const defined = [
      ...this.#inputs,
      ...this.#parameters,
      ...this.#stateValues,
      ...noise.map(({ value }) => value),
    ];
    const { body, renumber } = finishGraph(this.#root, this.#values, defined, kept);
    const renumberOptional = (id: number | null): number | null =>
      id === null ? null : renumber(id);
    const layout = (variables: readonly TracedVariable[]) =>
      layoutOf(variables.map(({ name, variable }) => ({ name, shape: variable.shape })));
    return {
      format: "psgd-plan",
      version: 2,
      name: this.#request.name,
      values: body.values,
      inputs: this.#request.inputs.map(({ name }, index) => ({
        name,
        value: renumber(this.#inputs[index]!),
      })),
      layout: layout(this.#request.parameters),
      parameters: this.#parameters.map(renumber),
      state: {
        layout: layout(this.#state),
        values: this.#stateValues.map(renumber),
        next: nextIds.map(renumberOptional),
      },
      noise: noise.map(({ value, ...rest }) => ({ value: renumber(value), ...rest })),
      constants: body.constants,
      nodes: body.nodes,
      outputs: Object.keys(outputs).map((name, index) => ({
        name,
        value: renumber(outputIds[index]!),
      })),
      gradients: gradientIds.map(renumberOptional),
    };
  }

  /** Called when a variable is made. */
  onVariable(variable: tf.Variable): void {
    this.#madeFrom.set(variable, this.#idOf(variable));
  }

  /** The value that a variable was made with, if it is one number everywhere or was given as numbers. */
  initialValueOf(variable: tf.Variable): Float32Array | undefined {
    const id = this.#madeFrom.get(variable);
    const size = elementCount(variable.shape);
    const constant = this.#root.constants.find(({ value }) => value === id);
    if (constant !== undefined) return Float32Array.from(constant.data);
    const node = this.#root.nodes.find(({ outputs }) => outputs[0] === id);
    if (node?.kernel === "Fill") {
      return new Float32Array(size).fill(node.attributes["value"] as number);
    }
    if (node?.kernel === "ZerosLike") return new Float32Array(size);
    if (node?.kernel === "OnesLike") return new Float32Array(size).fill(1);
    return undefined;
  }

  /** Frees the tensors that outlived their layer. */
  release(): void {
    for (const tensor of this.#kept) tensor.dispose();
  }

  #newValue({ shape, dtype }: PlanValue, graph = this.#graph): number {
    this.#graphOf.push(graph);
    return this.#values.push({ shape: [...shape], dtype }) - 1;
  }

  /** The value as the graph at hand knows it: from outside, it becomes an input. */
  #seen(id: number, graph = this.#graph): number {
    const home = this.#graphOf[id]!;
    if (home === graph) return id;
    const outer = this.#seen(id, graph.parent);
    const known = graph.captures.get(outer);
    if (known !== undefined) return known;
    const inner = this.#newValue(this.#values[id]!, graph);
    graph.captures.set(outer, inner);
    return inner;
  }

  #withCaptures({ body, captured }: RecordedBody, all: readonly number[]): PlanBody {
    const declaredCount = body.inputs.length - captured.length;
    const values = [...body.values];
    const inputs = all.map((id) => {
      const index = captured.indexOf(id);
      // Another body takes it; this one only lets it in.
      return index === -1
        ? values.push(this.#values[id]!) - 1
        : body.inputs[declaredCount + index]!;
    });
    return { ...body, values, inputs: [...body.inputs.slice(0, declaredCount), ...inputs] };
  }

  #remember(dataId: object, id: number): void {
    const entry = { id, value: this.#values[id]! };
    const entries = this.#ids.get(dataId);
    if (entries === undefined) this.#ids.set(dataId, [entry]);
    else entries.push(entry);
  }

  /** A tensor of its own for a value, however many tensors stand for it already. */
  #infoOf(id: number): tf.TensorInfo {
    const dataId = this.#backend.newDataId();
    this.#remember(dataId, id);
    const { shape, dtype } = this.#values[id]!;
    return { dataId, shape: [...shape], dtype };
  }

  #idOf(tensor: tf.TensorInfo): number {
    const value = { shape: tensor.shape, dtype: tensor.dtype as PlanDType };
    const known = this.#ids
      .get(tensor.dataId)
      ?.findLast(
        (entry) => sameValue(entry.value, value) && this.#graph.isWithin(this.#graphOf[entry.id]!),
      );
    return known === undefined ? this.#capture(tensor) : this.#seen(known.id);
  }

  #capture(tensor: tf.TensorInfo): number {
    const { shape } = tensor;
    const dtype = this.#planType(tensor.dtype);
    const noise = this.#noiseOf.get(tensor.dataId);
    if (noise !== undefined) {
      const id = this.#newValue({ shape, dtype }, this.#root);
      this.#noise.push({ value: id, ...noise });
      this.#remember(tensor.dataId, id);
      return this.#seen(id);
    }
    const variables = Object.values(this.#tensorflow.engine().state.registeredVariables);
    const variable = variables.find(({ dataId }) => dataId === tensor.dataId);
    if (variable !== undefined && this.#request.findsState === true) {
      this.found.push(variable);
      const id = this.#newValue({ shape, dtype }, this.#root);
      this.#remember(tensor.dataId, id);
      return this.#seen(id);
    }
    if (variable !== undefined) {
      throw new PsgdError(
        "PLAN_INVALID",
        `variable \`${variable.name}\`: expected only weights of the model in its step, got ` +
          `another variable; ${this.where()}; make it a weight of a layer, or a constant tensor`,
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
    const { nodes, constants, constantIds } = this.#graph;
    const known = key === undefined ? undefined : constantIds.get(key);
    if (known !== undefined) return known;
    const id = this.#newValue(value);
    if (isEven && Number.isFinite(data[0])) {
      // A million ones (the gradient of a sum, say) travel as one.
      const attributes = { shape: [...value.shape], value: data[0]!, dtype: value.dtype };
      nodes.push({ kernel: "Fill", inputs: [], attributes, outputs: [id] });
    } else {
      constants.push({ value: id, data });
    }
    if (key !== undefined) constantIds.set(key, id);
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

  /** Random numbers become noise, which each run draws again; everything else that is written is a constant. */
  onWrite(dataId: object, values: tf.BackendValues): void {
    if (this.#probe.takes(values)) return;
    const scope = this.#tensorflow
      .engine()
      .state.scopeStack.find(({ name }) =>
        /^(random|truncatedNormal|multinomial|rand_)/.test(name),
      );
    if (scope === undefined) return;
    const operation = scope.name.replace(/_*op$/, "");
    const refuse = (expected: string, got: string, remedy: string): never => {
      throw new PsgdError(
        "PLAN_INVALID",
        `operation ${operation}: expected ${expected}, got ${got}; ${this.where()}; ${remedy}`,
      );
    };
    if (this.#graph !== this.#root) {
      refuse(
        "no random numbers within a loop or condition",
        "some",
        "draw them before it and hand them over as a sequence",
      );
    }
    const noise = values instanceof Float32Array ? this.#probe.distributionOf(values) : undefined;
    if (noise === undefined) {
      refuse(
        "random numbers of tf.randomUniform, tf.randomNormal or tf.truncatedNormal, without a seed",
        "others",
        "leave the seed out: noise is drawn anew in each step and repeats with the job's seed",
      );
    }
    this.#noiseOf.set(dataId, noise!);
  }
}

/** Kernels that pass their input through make no node: the output is another name of the input. */
function isSameValue(kernel: string, input: PlanValue, output: PlanValue): boolean {
  return (
    (kernel === "Identity" || kernel === "Cast" || kernel === "Reshape") && sameValue(input, output)
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
