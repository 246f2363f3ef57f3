import {
  PsgdError,
  type PlanAttribute,
  type PlanBody,
  type PlanDType,
  type PlanValue,
} from "@psgd/core";

/** Number of elements of a shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((extent, axis) => extent === b[axis]);
}

export function sameValue(a: PlanValue, b: PlanValue): boolean {
  return a.dtype === b.dtype && sameShape(a.shape, b.shape);
}

/** What goes into and comes out of a node's own graph. */
export interface BodyValues {
  readonly inputs: readonly PlanValue[];
  readonly outputs: readonly PlanValue[];
}

export function bodyValues({ values, inputs, outputs }: PlanBody): BodyValues {
  const at = (id: number): PlanValue => values[id]!;
  return { inputs: inputs.map(at), outputs: outputs.map(at) };
}

/** Says a value the way messages print it: `float32 [64,10]`. */
export function describeValue(value: PlanValue): string {
  return `${value.dtype} [${value.shape.join(",")}]`;
}

/**
 * One kernel call of a plan with its inputs' shapes and its attributes. Attributes come from the network: each is read
 * by a method that checks its type, and what does not fit is refused with PLAN_INVALID.
 */
export class KernelCall {
  readonly kernel: string;
  readonly inputs: readonly (PlanValue | null)[];
  readonly bodies: readonly BodyValues[];
  readonly #attributes: Readonly<Record<string, PlanAttribute>>;
  readonly #where: string;

  /** @param where - the place messages name, such as `node 12` */
  constructor(
    kernel: string,
    inputs: readonly (PlanValue | null)[],
    attributes: Readonly<Record<string, PlanAttribute>>,
    where: string,
    bodies: readonly BodyValues[] = [],
  ) {
    this.kernel = kernel;
    this.inputs = inputs;
    this.bodies = bodies;
    this.#attributes = attributes;
    this.#where = where;
  }

  refuse(text: string): never {
    throw new PsgdError("PLAN_INVALID", `kernel ${this.kernel}: ${text}; ${this.#where}`);
  }

  /** The input at `index`, which must be there and have one of `dtypes`. */
  input(index: number, dtypes?: readonly PlanDType[]): PlanValue {
    const value = this.inputs[index];
    if (value === undefined || value === null) {
      this.refuse(`expected input ${index}, got none`);
    }
    if (dtypes !== undefined && !dtypes.includes(value.dtype)) {
      this.refuse(
        `expected ${dtypes.join(" or ")} as input ${index}, got ${value.dtype}; cast it first`,
      );
    }
    return value;
  }

  has(attribute: string): boolean {
    return this.#read(attribute) !== null;
  }

  isList(attribute: string): boolean {
    return Array.isArray(this.#read(attribute));
  }

  flag(attribute: string): boolean {
    const value = this.#read(attribute);
    if (value !== null && typeof value !== "boolean") this.#wrong(attribute, "true or false");
    return value ?? false;
  }

  number(attribute: string): number {
    const value = this.#read(attribute);
    if (typeof value !== "number" || Number.isNaN(value)) this.#wrong(attribute, "a number");
    return value;
  }

  integer(attribute: string): number {
    const value = this.#read(attribute);
    if (!isInteger(value)) this.#wrong(attribute, "an integer");
    return value;
  }

  integers(attribute: string): readonly number[] {
    const value = this.#read(attribute);
    if (isInteger(value)) return [value];
    if (!Array.isArray(value) || !value.every(isInteger)) this.#wrong(attribute, "integers");
    return value;
  }

  oneOf<T extends string>(attribute: string, allowed: readonly T[]): T {
    const value = this.#read(attribute);
    const found = allowed.find((name) => name === value);
    if (found === undefined) this.#wrong(attribute, `one of ${allowed.join(", ")}`);
    return found;
  }

  /** An axis counted from the front. */
  axis(attribute: string, rank: number): number {
    const axes = this.axes(attribute, rank);
    if (axes.length !== 1) this.#wrong(attribute, "one axis");
    return axes[0]!;
  }

  /** Axes counted from the front, ascending; all of them if the attribute is absent. */
  axes(attribute: string, rank: number): readonly number[] {
    if (!this.has(attribute)) return Array.from({ length: rank }, (_, axis) => axis);
    const axes = this.integers(attribute).map((axis) => (axis < 0 ? axis + rank : axis));
    if (axes.some((axis) => axis < 0 || axis >= rank) || new Set(axes).size !== axes.length) {
      this.#wrong(attribute, `different axes of ${rank}`);
    }
    return axes.sort((a, b) => a - b);
  }

  /** Pairs of integers: how much to add before and after each axis. */
  pairs(attribute: string): readonly (readonly [number, number])[] {
    const value = this.#read(attribute);
    const isPair = (pair: PlanAttribute): pair is [number, number] =>
      Array.isArray(pair) && pair.length === 2 && pair.every(isInteger);
    if (!Array.isArray(value) || !value.every(isPair)) {
      this.#wrong(attribute, "pairs of integers");
    }
    return value;
  }

  #read(attribute: string): PlanAttribute {
    return Object.hasOwn(this.#attributes, attribute) ? this.#attributes[attribute]! : null;
  }

  #wrong(attribute: string, rule: string): never {
    const got = JSON.stringify(this.#read(attribute)).slice(0, 80);
    return this.refuse(`expected ${rule} as attribute \`${attribute}\`, got ${got}`);
  }
}

function isInteger(value: unknown): value is number {
  return Number.isSafeInteger(value);
}
