import { PsgdError, type Plan, type PlanBody, type PlanNode } from "@psgd/core";

/** A day, so that whatever is computed from the time differs. */
const CLOCK_SHIFT_MS = 86_400_000;

/** Runs something on another day. */
export function withShiftedClock<T>(run: () => T): T {
  const original = globalThis.Date;
  globalThis.Date = class extends original {
    constructor(...parts: readonly unknown[]) {
      super(...((parts.length === 0 ? [original.now() + CLOCK_SHIFT_MS] : parts) as [number]));
    }

    static override now(): number {
      return original.now() + CLOCK_SHIFT_MS;
    }
  } as DateConstructor;
  try {
    return run();
  } finally {
    globalThis.Date = original;
  }
}

/**
 * Two traces of one step, on different days and with different random numbers, must give one plan: a number that
 * differs was computed in JavaScript, and every step would use the one that was current during the trace.
 *
 * @throws {PsgdError} PLAN_INVALID
 */
export function requireNothingBaked(first: Plan, second: Plan): void {
  const difference = differenceOf(first, second);
  if (difference === undefined) return;
  throw new PsgdError(
    "PLAN_INVALID",
    `step \`${first.name}\`: expected the same plan from two traces, got ${difference}; ` +
      "numbers made in JavaScript (Math.random, the time, a counter) become constants: pass them as inputs",
  );
}

type Graph = Pick<PlanBody, "constants" | "nodes">;

function differenceOf(first: Graph, second: Graph): string | undefined {
  if (kernelsOf(first) !== kernelsOf(second)) {
    return `${first.nodes.length} and then ${second.nodes.length} nodes, not all alike`;
  }
  for (const [index, { data }] of first.constants.entries()) {
    const other = second.constants[index]?.data;
    if (other?.length !== data.length) return "constants of other shapes";
    const place = data.findIndex((value: number, i: number) => !Object.is(value, other[i]));
    if (place !== -1) return `a constant that was ${data[place]} and then ${other[place]}`;
  }
  for (const [index, node] of first.nodes.entries()) {
    const difference = nodeDifference(node, second.nodes[index]!);
    if (difference !== undefined) return difference;
  }
  return undefined;
}

function nodeDifference(node: PlanNode, other: PlanNode): string | undefined {
  for (const [name, value] of Object.entries(node.attributes)) {
    const [was, is] = [JSON.stringify(value), JSON.stringify(other.attributes[name])];
    if (was !== is) return `\`${name}\` of kernel ${node.kernel} that was ${was} and then ${is}`;
  }
  for (const [index, body] of (node.bodies ?? []).entries()) {
    const difference = differenceOf(body, other.bodies![index]!);
    if (difference !== undefined) return difference;
  }
  return undefined;
}

function kernelsOf({ nodes }: Graph): string {
  return nodes.map(({ kernel, inputs }) => `${kernel}(${inputs.join()})`).join(" ");
}
