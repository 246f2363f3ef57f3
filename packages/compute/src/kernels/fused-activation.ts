import type { KernelCall } from "./kernel-call.js";

const ACTIVATIONS = ["linear", "relu", "relu6", "elu", "sigmoid", "leakyrelu"] as const;

/** Attributes of a kernel that applies an activation to its result. */
export const ACTIVATION_ATTRIBUTES = ["activation", "leakyreluAlpha"] as const;

/**
 * What a fused kernel applies to its result.
 * @throws {PsgdError} PLAN_INVALID
 */
export function fusedActivation(call: KernelCall): (typeof ACTIVATIONS)[number] {
  if (!call.has("activation")) return "linear";
  const activation = call.oneOf("activation", ACTIVATIONS);
  if (activation === "leakyrelu") call.number("leakyreluAlpha");
  return activation;
}
