import type { PlanValue } from "@psgd/core";
import { describeValue, sameValue, type KernelCall } from "./kernel-call.js";
import type { KernelSignature } from "./kernel-signature.js";

/** More would not be a step of training, and keeps a hostile plan's cost countable. */
const MOST_TIMES = 1_000_000;

/**
 * Kernels that run graphs of their own. TensorFlow.js has none of them: `trace/control-flow.ts` records them, with
 * gradients that are kernels of the same kind.
 */
export const CONTROL_KERNELS = {
  /** Inputs: a condition, then what both bodies take. Runs the first body if the condition holds, else the second. */
  If: {
    inputs: "list",
    attributes: [],
    bodyCount: 2,
    infer: (call) => {
      const condition = call.input(0, ["bool"]);
      if (condition.shape.length !== 0) {
        call.refuse(`expected one condition, got ${describeValue(condition)}`);
      }
      const operands = call.inputs.slice(1);
      const [then, otherwise] = call.bodies;
      requireValues(call, "inputs of the first body", operands, then!.inputs);
      requireValues(call, "inputs of the second body", operands, otherwise!.inputs);
      requireValues(call, "outputs of the second body", then!.outputs, otherwise!.outputs);
      return then!.outputs;
    },
  },
  /**
   * Inputs: the carried values, the sequences [times, …], then what the body takes at each time. The body takes the
   * carried values, one slice of each sequence and the rest; it gives the carried values of the next time and values
   * to stack. Outputs: the carried values at the end, the stacks [times, …]. Reversed, it begins with the last slice,
   * and a stacked value lies where its slice was.
   */
  Loop: {
    inputs: "list",
    attributes: ["times", "carried", "sequences", "isReversed"],
    bodyCount: 1,
    infer: (call) => {
      const { times, carriedCount, sequenceCount } = loopOf(call);
      const [body] = call.bodies;
      const carried = call.inputs.slice(0, carriedCount);
      const slices = call.inputs
        .slice(carriedCount, carriedCount + sequenceCount)
        .map((sequence): PlanValue => {
          if (sequence === null) return call.refuse("expected sequences, got nothing");
          if (sequence.shape[0] !== times) {
            call.refuse(`expected sequences of ${times}, got ${describeValue(sequence)}`);
          }
          return { shape: sequence.shape.slice(1), dtype: sequence.dtype };
        });
      const rest = call.inputs.slice(carriedCount + sequenceCount);
      requireValues(call, "inputs of the body", [...carried, ...slices, ...rest], body!.inputs);
      requireValues(call, "carried values", carried, body!.outputs.slice(0, carriedCount));
      return body!.outputs.map(({ shape, dtype }, index) =>
        index < carriedCount ? { shape, dtype } : { shape: [times, ...shape], dtype },
      );
    },
  },
} as const satisfies Record<string, KernelSignature>;

/** How a `Loop` divides its inputs and outputs. */
export function loopOf(call: KernelCall): {
  readonly times: number;
  readonly carriedCount: number;
  readonly sequenceCount: number;
  readonly isReversed: boolean;
} {
  const times = call.integer("times");
  const [carriedCount, sequenceCount] = [call.integer("carried"), call.integer("sequences")];
  if (times < 1 || times > MOST_TIMES)
    call.refuse(`expected 1 to ${MOST_TIMES} times, got ${times}`);
  if (
    carriedCount < 0 ||
    sequenceCount < 0 ||
    carriedCount + sequenceCount > call.inputs.length ||
    carriedCount > call.bodies[0]!.outputs.length
  ) {
    call.refuse(
      `expected as many inputs and outputs, got ${carriedCount} carried values and ${sequenceCount} sequences`,
    );
  }
  return { times, carriedCount, sequenceCount, isReversed: call.flag("isReversed") };
}

function requireValues(
  call: KernelCall,
  what: string,
  expected: readonly (PlanValue | null)[],
  got: readonly PlanValue[],
): void {
  const fits =
    expected.length === got.length &&
    expected.every((value, index) => value !== null && sameValue(value, got[index]!));
  if (fits) return;
  const list = (values: readonly (PlanValue | null)[]): string =>
    values.map((value) => (value === null ? "nothing" : describeValue(value))).join(", ");
  call.refuse(`expected ${what} to be (${list(expected)}), got (${list(got)})`);
}
