import type { PlanValue } from "@psgd/core";
import type { KernelCall } from "./kernel-call.js";

/** What a kernel takes and gives, by TensorFlow.js's rules (tfjs-core 4.22, `kernel_names.ts` and the cpu backend). */
export interface KernelSignature {
  /** Input names in TensorFlow.js, in the order of a plan node, a `?` after those that may be absent; or any number. */
  readonly inputs: readonly string[] | "list";
  /** The only attributes a node may carry. */
  readonly attributes: readonly string[];
  /** How many graphs of its own a node has; none by default. */
  readonly bodyCount?: number;
  /**
   * Checks inputs and attributes and says what comes out.
   * @throws {PsgdError} PLAN_INVALID
   */
  readonly infer: (call: KernelCall) => readonly PlanValue[];
}
