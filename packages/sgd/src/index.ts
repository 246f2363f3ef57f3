export type { GradientDescent, GradientDescentRule } from "./gradient-descent/gradient-descent.js";
export { GRADIENT_DESCENTS, type GradientDescentName } from "./gradient-descent/registry.js";
export type { OptimizerRule } from "./optimizers/optimizer-rule.js";
export { Optimizer, type OptimizerOptions } from "./optimizers/optimizer.js";
export { OPTIMIZERS, type OptimizerName } from "./optimizers/registry.js";
export { resolvePairing, type Pairing, type PairingRequest } from "./optimizers/pairing.js";
