import {
  PsgdError,
  type Plan,
  type PlanAttribute,
  type PlanBody,
  type PlanConstant,
  type PlanDType,
  type PlanNode,
  type PlanNoise,
  type PlanValue,
  type TensorLayout,
} from "@psgd/core";
import {
  bodyValues,
  describeValue,
  elementCount,
  KernelCall,
  sameValue,
  type BodyValues,
} from "./kernels/kernel-call.js";
import { kernelSignature } from "./kernels/kernels.js";

/** What a plan may ask of the machine that runs it. */
export const PLAN_LIMITS = {
  /** With those of its bodies. */
  nodes: 50_000,
  /** Bodies within bodies. */
  depth: 4,
  rank: 6,
  nameLength: 200,
  /** Nesting and entries of one attribute. */
  attributeDepth: 3,
  attributeEntries: 4096,
  valueBytes: 2 ** 30,
  /** All values together, as if none were freed: an upper bound of the memory a run takes. */
  totalBytes: 2 ** 32,
} as const;

const BYTES_PER_ELEMENT = { float32: 4, int32: 4, bool: 1 } as const satisfies Record<
  PlanDType,
  number
>;
/** The array that holds values of a type. */
export const ARRAY_OF = {
  float32: Float32Array,
  int32: Int32Array,
  bool: Uint8Array,
} as const satisfies Record<PlanDType, unknown>;

/**
 * Checks a plan from anywhere (a trace, a file, the network) before it is lowered: its form, its limits
 * (`PLAN_LIMITS`), that every kernel is on the white list, that every value is defined once and before it is used, and
 * that the shapes are those the kernels give; the same of the graphs within nodes.
 *
 * @returns the same object
 * @throws {PsgdError} PLAN_INVALID
 */
export function validatePlan(plan: unknown): Plan {
  const candidate = plan as Plan;
  requireForm(candidate);
  const used: Used = { nodes: 0, bytes: 0 };
  requireLayout(candidate.layout, "parameter");
  requireLayout(candidate.state.layout, "state");
  const { tensors } = candidate.layout;
  requireLength(candidate.parameters, tensors.length, "parameters");
  if (candidate.gradients.length !== 0) {
    requireLength(candidate.gradients, tensors.length, "gradients");
  }
  const carried = candidate.state.layout.tensors;
  requireLength(candidate.state.values, carried.length, "state values");
  requireLength(candidate.state.next, carried.length, "next state values");

  const graph = new GraphCheck(candidate.values, "", used);
  requireNames(candidate.inputs, "input");
  for (const { name, value } of candidate.inputs) graph.define(value, `input \`${name}\``);
  const defineTensors = (ids: readonly number[], { tensors }: TensorLayout, what: string): void => {
    for (const [index, { name, shape }] of tensors.entries()) {
      const where = `${what} \`${name}\``;
      requireValue(graph.define(ids[index], where), { shape, dtype: "float32" }, where);
    }
  };
  defineTensors(candidate.parameters, candidate.layout, "parameter");
  defineTensors(candidate.state.values, candidate.state.layout, "state");
  for (const noise of candidate.noise) requireNoise(noise, graph);
  for (const constant of candidate.constants) graph.requireConstant(constant);
  graph.requireNodes(candidate.nodes, 0);
  requireNames(candidate.outputs, "output");
  for (const { name, value } of candidate.outputs) graph.use(value, `output \`${name}\``);
  const useTensors = (
    ids: readonly (number | null)[],
    { tensors }: TensorLayout,
    what: string,
  ): void => {
    for (const [index, id] of ids.entries()) {
      if (id === null) continue;
      const { name, shape } = tensors[index]!;
      const where = `${what} of \`${name}\``;
      requireValue(graph.use(id, where), { shape, dtype: "float32" }, where);
    }
  };
  useTensors(candidate.gradients, candidate.layout, "gradient");
  useTensors(candidate.state.next, candidate.state.layout, "next value");
  graph.requireAllDefined();
  return candidate;
}

/** What a plan has used of its limits so far, with its bodies. */
interface Used {
  nodes: number;
  bytes: number;
}

/** Checks one graph, value by value in the order of their definition. */
class GraphCheck {
  readonly #values: readonly PlanValue[];
  readonly #isDefined: Uint8Array;
  readonly #where: string;
  readonly #used: Used;

  /** @param where - the node whose body this is; empty for the plan itself */
  constructor(values: readonly PlanValue[], where: string, used: Used) {
    requireCount(values.length, 4 * PLAN_LIMITS.nodes, "values");
    this.#where = where;
    this.#used = used;
    this.#values = values;
    this.#requireValues();
    this.#isDefined = new Uint8Array(values.length);
  }

  define(id: unknown, where: string): PlanValue {
    const value = this.#valueOf(id, where);
    if (this.#isDefined[id as number] === 1) {
      refuse(`expected one definition of value ${String(id)}`, this.#in(where));
    }
    this.#isDefined[id as number] = 1;
    return value;
  }

  use(id: unknown, where: string): PlanValue {
    const value = this.#valueOf(id, where);
    if (this.#isDefined[id as number] !== 1) {
      refuse(
        `expected value ${String(id)} to be computed before its use, got none`,
        this.#in(where),
      );
    }
    return value;
  }

  requireConstant(candidate: PlanConstant): void {
    const { value: id, data } = objectAt(candidate, this.#in("constants"));
    const where = `constant ${String(id)}`;
    const value = this.define(id, where);
    const length = elementCount(value.shape);
    const expected = ARRAY_OF[value.dtype];
    if (!(data instanceof expected) || data.length !== length) {
      refuse(`expected a ${expected.name} of ${length} values`, this.#in(where));
    }
  }

  requireNodes(nodes: readonly PlanNode[], depth: number): void {
    this.#used.nodes += nodes.length;
    requireCount(this.#used.nodes, PLAN_LIMITS.nodes, "nodes");
    for (const [index, node] of nodes.entries()) {
      this.#requireNode(node, this.#in(`node ${index}`), depth);
    }
  }

  requireAllDefined(): void {
    const missing = this.#isDefined.indexOf(0);
    if (missing !== -1) {
      refuse(
        `expected every value to be defined, got none of value ${missing}`,
        this.#where === "" ? undefined : this.#where,
      );
    }
  }

  #requireValues(): void {
    for (const [id, candidate] of this.#values.entries()) {
      const where = this.#in(`value ${id}`);
      const { shape, dtype } = objectAt(candidate, where);
      if (typeof dtype !== "string" || !Object.hasOwn(BYTES_PER_ELEMENT, dtype)) {
        refuse(`expected float32, int32 or bool, got ${String(dtype)}`, where);
      }
      requireShape(shape, where);
      const bytes = elementCount(shape) * BYTES_PER_ELEMENT[dtype as PlanDType];
      requireCount(bytes, PLAN_LIMITS.valueBytes, `bytes in ${where}`);
      this.#used.bytes += bytes;
    }
    requireCount(this.#used.bytes, PLAN_LIMITS.totalBytes, "bytes in all values");
  }

  #requireNode(candidate: PlanNode, where: string, depth: number): void {
    const { kernel, inputs, outputs, attributes, bodies = [] } = objectAt(candidate, where);
    const signature = typeof kernel === "string" ? kernelSignature(kernel) : undefined;
    if (typeof kernel !== "string" || signature === undefined) {
      refuse(`expected a known kernel, got ${JSON.stringify(kernel)}`, where);
    }
    if (!Array.isArray(inputs) || !Array.isArray(outputs) || !Array.isArray(bodies)) {
      refuse("expected lists of inputs, outputs and bodies", where);
    }
    for (const [name, value] of Object.entries(objectAt(attributes, where))) {
      if (!signature.attributes.includes(name)) {
        refuse(`expected no attribute \`${name}\` of ${kernel}`, where);
      }
      requireAttribute(value, where);
    }
    const values = inputs.map((id: unknown) => (id === null ? null : this.use(id, where)));
    requireInputs(kernel, signature.inputs, values, where);
    requireLength(bodies, signature.bodyCount ?? 0, `bodies of ${kernel}`);
    const call = new KernelCall(
      kernel,
      values,
      attributes as Readonly<Record<string, PlanAttribute>>,
      where,
      bodies.map((body: unknown) => this.#requireBody(body as PlanBody, where, depth + 1)),
    );
    const inferred = signature.infer(call);
    if (outputs.length !== inferred.length) {
      refuse(`expected ${inferred.length} outputs of ${kernel}, got ${outputs.length}`, where);
    }
    inferred.forEach((value, index) => {
      requireValue(this.define(outputs[index], where), value, where);
    });
  }

  #requireBody(candidate: PlanBody, node: string, depth: number): BodyValues {
    const where = `body of ${node}`;
    requireCount(depth, PLAN_LIMITS.depth, "bodies within bodies");
    const fields = objectAt(candidate, where);
    requireLists(fields, ["values", "inputs", "constants", "nodes", "outputs"], where);
    const graph = new GraphCheck(candidate.values, where, this.#used);
    for (const id of candidate.inputs) graph.define(id, "input");
    for (const constant of candidate.constants) graph.requireConstant(constant);
    graph.requireNodes(candidate.nodes, depth);
    for (const id of candidate.outputs) graph.use(id, "output");
    graph.requireAllDefined();
    return bodyValues(candidate);
  }

  #valueOf(id: unknown, where: string): PlanValue {
    const value = Number.isSafeInteger(id) ? this.#values[id as number] : undefined;
    if (value === undefined) {
      refuse(
        `expected a value id below ${this.#values.length}, got ${String(id)}`,
        this.#in(where),
      );
    }
    return value;
  }

  #in(where: string): string {
    return this.#where === "" ? where : `${where} in the ${this.#where}`;
  }
}

function requireForm(plan: Plan): void {
  // Every field is read as unknown: the types are what is being established.
  const fields = plan as unknown as Record<string, unknown> | null;
  if (typeof fields !== "object" || fields === null) refuse(`expected an object, got ${fields}`);
  if (fields["format"] !== "psgd-plan" || fields["version"] !== 2) {
    refuse(
      `expected psgd-plan 2, got ${String(fields["format"])} ${String(fields["version"])}`,
      undefined,
      "trace it again with this version, or update the older side",
    );
  }
  requireName(fields["name"], "name");
  requireLists(fields, [
    "values",
    "inputs",
    "parameters",
    "noise",
    "constants",
    "nodes",
    "outputs",
    "gradients",
  ]);
  requireLists(objectAt(fields["state"], "state"), ["values", "next"], "state");
  requireCount(plan.constants.length, PLAN_LIMITS.nodes, "constants");
  requireCount(plan.inputs.length, PLAN_LIMITS.nodes, "inputs");
  requireCount(plan.outputs.length, PLAN_LIMITS.nodes, "outputs");
}

function requireLists(
  fields: Readonly<Record<string, unknown>>,
  names: readonly string[],
  where?: string,
): void {
  for (const name of names) {
    if (!Array.isArray(fields[name])) refuse(`expected a list as \`${name}\``, where);
  }
}

function requireLayout(layout: TensorLayout, what: string): void {
  const { tensors, size } = objectAt(layout, `layout of the ${what}s`);
  if (!Array.isArray(tensors)) refuse("expected a list as `layout.tensors`");
  requireNames(tensors, what);
  let offset = 0;
  for (const slot of tensors as TensorLayout["tensors"]) {
    const where = `${what} \`${slot.name}\``;
    requireShape(slot.shape, where);
    if (slot.offset !== offset || slot.size !== elementCount(slot.shape)) {
      refuse(
        `expected ${elementCount(slot.shape)} values at ${offset}, got ${slot.size} at ${slot.offset}`,
        where,
      );
    }
    offset += slot.size;
  }
  if (size !== offset) refuse(`expected a layout of ${offset} values, got ${String(size)}`);
}

function requireNoise(candidate: PlanNoise, graph: GraphCheck): void {
  const { value: id, distribution, offset, scale } = objectAt(candidate, "noise");
  const where = `noise ${String(id)}`;
  requireValue(graph.define(id, where), { ...graph.use(id, where), dtype: "float32" }, where);
  if (
    distribution !== "uniform" &&
    distribution !== "normal" &&
    distribution !== "truncatedNormal"
  ) {
    refuse(
      `expected uniform, normal or truncatedNormal, got ${JSON.stringify(distribution)}`,
      where,
    );
  }
  if (!Number.isFinite(offset) || !Number.isFinite(scale)) {
    refuse("expected a finite offset and scale", where);
  }
}

/** Asserts that a kernel call has all inputs it must have, and not more. */
export function requireInputs(
  kernel: string,
  names: readonly string[] | "list",
  values: readonly (PlanValue | null)[],
  where: string,
): void {
  if (names === "list") {
    if (values.length === 0) refuse(`expected inputs of ${kernel}, got none`, where);
    return;
  }
  if (values.length > names.length) {
    refuse(`expected ${names.length} inputs of ${kernel}, got ${values.length}`, where);
  }
  names.forEach((name, index) => {
    if (!name.endsWith("?") && (values[index] ?? null) === null) {
      refuse(`expected input \`${name}\` of ${kernel}, got none`, where);
    }
  });
}

function requireAttribute(value: unknown, where: string, depth = 0): void {
  if (typeof value === "object" && value !== null) {
    const entries: unknown[] = Object.values(value);
    requireCount(depth, PLAN_LIMITS.attributeDepth, `levels in an attribute of ${where}`);
    requireCount(
      entries.length,
      PLAN_LIMITS.attributeEntries,
      `entries in an attribute of ${where}`,
    );
    for (const entry of entries) requireAttribute(entry, where, depth + 1);
  } else if (!["number", "string", "boolean"].includes(typeof value) && value !== null) {
    refuse(`expected plain attributes, got a ${typeof value}`, where);
  }
}

function requireShape(shape: unknown, where: string): asserts shape is readonly number[] {
  const isShape =
    Array.isArray(shape) &&
    shape.length <= PLAN_LIMITS.rank &&
    // Spread, because `every` passes over holes.
    [...(shape as unknown[])].every((extent) => Number.isSafeInteger(extent) && Number(extent) > 0);
  if (!isShape) {
    refuse(
      `expected a shape of at most ${PLAN_LIMITS.rank} positive extents, got ${JSON.stringify(shape)}`,
      where,
    );
  }
}

function requireNames(list: readonly unknown[], what: string): void {
  const seen = new Set<string>();
  for (const entry of list) {
    const { name } = objectAt(entry, what);
    requireName(name, `${what} name`);
    if (seen.has(name)) refuse(`expected different ${what} names, got \`${name}\` twice`);
    seen.add(name);
  }
}

function requireName(name: unknown, what: string): asserts name is string {
  if (typeof name !== "string" || name === "" || name.length > PLAN_LIMITS.nameLength) {
    refuse(`expected a ${what} of 1 to ${PLAN_LIMITS.nameLength} characters`);
  }
}

function requireValue(got: PlanValue, expected: PlanValue, where: string): void {
  if (!sameValue(got, expected)) {
    refuse(`expected ${describeValue(expected)}, got ${describeValue(got)}`, where);
  }
}

function requireCount(count: number, limit: number, what: string): void {
  if (!(count <= limit)) refuse(`expected at most ${limit} ${what}, got ${count}`);
}

function requireLength(list: readonly unknown[], length: number, what: string): void {
  if (list.length !== length) refuse(`expected ${length} ${what}, got ${list.length}`);
}

function objectAt(candidate: unknown, where: string): Record<string, unknown> {
  if (typeof candidate !== "object" || candidate === null) refuse("expected an object", where);
  return candidate as Record<string, unknown>;
}

function refuse(...[text, where, remedy]: [string, string?, string?]): never {
  const parts = [`plan: ${text}`, where, remedy].filter((part) => part !== undefined);
  throw new PsgdError("PLAN_INVALID", parts.join("; "));
}
