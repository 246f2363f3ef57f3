import {
  PsgdError,
  type Plan,
  type PlanAttribute,
  type PlanDType,
  type PlanNode,
  type PlanValue,
} from "@psgd/core";
import { describeValue, elementCount, KernelCall, sameShape } from "./kernels/kernel-call.js";
import { kernelSignature } from "./kernels/kernels.js";

/** What a plan may ask of the machine that runs it. */
export const PLAN_LIMITS = {
  nodes: 50_000,
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
 * that the shapes are those the kernels give.
 *
 * @returns the same object
 * @throws {PsgdError} PLAN_INVALID
 */
export function validatePlan(plan: unknown): Plan {
  const candidate = plan as Plan;
  requireForm(candidate);
  requireValues(candidate.values);
  requireLayout(candidate);

  const isDefined = new Uint8Array(candidate.values.length);
  const define = (id: unknown, what: string): PlanValue => {
    const value = valueOf(candidate, id, what);
    if (isDefined[id as number] === 1)
      refuse(`expected one definition of value ${String(id)}`, what);
    isDefined[id as number] = 1;
    return value;
  };
  const use = (id: unknown, what: string): PlanValue => {
    const value = valueOf(candidate, id, what);
    if (isDefined[id as number] !== 1) {
      refuse(`expected value ${String(id)} to be computed before its use, got none`, what);
    }
    return value;
  };

  requireNames(candidate.inputs, "input");
  for (const { name, value } of candidate.inputs) define(value, `input \`${name}\``);
  for (const [index, id] of candidate.parameters.entries()) {
    const slot = candidate.layout.tensors[index]!;
    const value = define(id, `parameter \`${slot.name}\``);
    requireValue(value, { shape: slot.shape, dtype: "float32" }, `parameter \`${slot.name}\``);
  }
  for (const constant of candidate.constants) requireConstant(constant, define);
  for (const [index, node] of candidate.nodes.entries()) {
    requireNode(node, `node ${index}`, use, define);
  }
  requireNames(candidate.outputs, "output");
  for (const { name, value } of candidate.outputs) use(value, `output \`${name}\``);
  for (const [index, id] of candidate.gradients.entries()) {
    if (id === null) continue;
    const slot = candidate.layout.tensors[index]!;
    const value = use(id, `gradient of \`${slot.name}\``);
    requireValue(value, { shape: slot.shape, dtype: "float32" }, `gradient of \`${slot.name}\``);
  }
  const missing = isDefined.indexOf(0);
  if (missing !== -1) refuse(`expected every value to be defined, got none of value ${missing}`);
  return candidate;
}

function requireForm(plan: Plan): void {
  // Every field is read as unknown: the types are what is being established.
  const fields = plan as unknown as Record<string, unknown> | null;
  if (typeof fields !== "object" || fields === null) refuse(`expected an object, got ${fields}`);
  if (fields["format"] !== "psgd-plan" || fields["version"] !== 1) {
    refuse(`expected psgd-plan 1, got ${String(fields["format"])} ${String(fields["version"])}`);
  }
  requireName(fields["name"], "name");
  for (const field of [
    "values",
    "inputs",
    "parameters",
    "constants",
    "nodes",
    "outputs",
    "gradients",
  ]) {
    if (!Array.isArray(fields[field])) refuse(`expected a list as \`${field}\``);
  }
  requireCount(plan.nodes.length, PLAN_LIMITS.nodes, "nodes");
  requireCount(plan.values.length, 4 * PLAN_LIMITS.nodes, "values");
  requireCount(plan.constants.length, PLAN_LIMITS.nodes, "constants");
  requireCount(plan.inputs.length, PLAN_LIMITS.nodes, "inputs");
  requireCount(plan.outputs.length, PLAN_LIMITS.nodes, "outputs");
}

function requireValues(values: readonly unknown[]): void {
  let totalBytes = 0;
  for (const [id, candidate] of values.entries()) {
    const { shape, dtype } = objectAt(candidate, `value ${id}`);
    if (typeof dtype !== "string" || !Object.hasOwn(BYTES_PER_ELEMENT, dtype)) {
      refuse(`expected float32, int32 or bool, got ${String(dtype)}`, `value ${id}`);
    }
    requireShape(shape, `value ${id}`);
    const bytes = elementCount(shape) * BYTES_PER_ELEMENT[dtype as PlanDType];
    requireCount(bytes, PLAN_LIMITS.valueBytes, `bytes in value ${id}`);
    totalBytes += bytes;
  }
  requireCount(totalBytes, PLAN_LIMITS.totalBytes, "bytes in all values");
}

function requireLayout(plan: Plan): void {
  const { tensors, size } = objectAt(plan.layout, "layout");
  if (!Array.isArray(tensors)) refuse("expected a list as `layout.tensors`");
  requireNames(tensors, "parameter");
  let offset = 0;
  for (const slot of tensors as Plan["layout"]["tensors"]) {
    const where = `parameter \`${slot.name}\``;
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
  if (plan.parameters.length !== tensors.length) {
    refuse(`expected ${tensors.length} parameters, got ${plan.parameters.length}`);
  }
  if (plan.gradients.length !== 0 && plan.gradients.length !== tensors.length) {
    refuse(`expected no or ${tensors.length} gradients, got ${plan.gradients.length}`);
  }
}

function requireConstant(
  candidate: Plan["constants"][number],
  define: (id: unknown, what: string) => PlanValue,
): void {
  const { value: id, data } = objectAt(candidate, "constants");
  const where = `constant ${String(id)}`;
  const value = define(id, where);
  const length = elementCount(value.shape);
  const expected = ARRAY_OF[value.dtype];
  if (!(data instanceof expected) || data.length !== length) {
    refuse(`expected a ${expected.name} of ${length} values`, where);
  }
}

function requireNode(
  candidate: PlanNode,
  where: string,
  use: (id: unknown, what: string) => PlanValue,
  define: (id: unknown, what: string) => PlanValue,
): void {
  const { kernel, inputs, outputs, attributes } = objectAt(candidate, where);
  const signature = typeof kernel === "string" ? kernelSignature(kernel) : undefined;
  if (typeof kernel !== "string" || signature === undefined) {
    refuse(`expected a known kernel, got ${JSON.stringify(kernel)}`, where);
  }
  if (!Array.isArray(inputs) || !Array.isArray(outputs)) {
    refuse("expected lists of inputs and outputs", where);
  }
  for (const [name, value] of Object.entries(objectAt(attributes, where))) {
    if (!signature.attributes.includes(name)) {
      refuse(`expected no attribute \`${name}\` of ${kernel}`, where);
    }
    requireAttribute(value, where);
  }
  const values = inputs.map((id: unknown) => (id === null ? null : use(id, where)));
  requireInputs(kernel, signature.inputs, values, where);
  const call = new KernelCall(
    kernel,
    values,
    attributes as Readonly<Record<string, PlanAttribute>>,
    where,
  );
  const inferred = signature.infer(call);
  if (outputs.length !== inferred.length) {
    refuse(`expected ${inferred.length} outputs of ${kernel}, got ${outputs.length}`, where);
  }
  inferred.forEach((value, index) => requireValue(define(outputs[index], where), value, where));
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
  if (got.dtype !== expected.dtype || !sameShape(got.shape, expected.shape)) {
    refuse(`expected ${describeValue(expected)}, got ${describeValue(got)}`, where);
  }
}

function requireCount(count: number, limit: number, what: string): void {
  if (!(count <= limit)) refuse(`expected at most ${limit} ${what}, got ${count}`);
}

function valueOf(plan: Plan, id: unknown, where: string): PlanValue {
  const value = Number.isSafeInteger(id) ? plan.values[id as number] : undefined;
  if (value === undefined) {
    refuse(`expected a value id below ${plan.values.length}, got ${String(id)}`, where);
  }
  return value;
}

function objectAt(candidate: unknown, where: string): Record<string, unknown> {
  if (typeof candidate !== "object" || candidate === null) refuse("expected an object", where);
  return candidate as Record<string, unknown>;
}

function refuse(text: string, where?: string): never {
  throw new PsgdError("PLAN_INVALID", `plan: ${text}${where === undefined ? "" : `; ${where}`}`);
}
