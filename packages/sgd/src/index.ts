export { CodecActor, type CodecActorOptions, type Emit } from "./codec-actor.js";
export {
  DEFAULT_STALENESS,
  SYNC_POLICIES,
  asynchronousSgd,
  staleSynchronous,
  synchronousSgd,
  type JudgedMessage,
  type StepPosition,
  type SyncPolicy,
  type SyncPolicyName,
  type Verdict,
} from "./sync-policy.js";
export {
  BlockExchange,
  type BlockExchangeOptions,
  type BlockMessage,
  type ExchangeCodec,
  type ExchangeCounts,
} from "./block-exchange.js";
export { fp32BytesPerStep } from "./fp32-traffic.js";
export type { GradientDescent, GradientDescentRule } from "./gradient-descent/gradient-descent.js";
export { GRADIENT_DESCENTS, type GradientDescentName } from "./gradient-descent/registry.js";
export type { OptimizerRule } from "./optimizers/optimizer-rule.js";
export { Optimizer, type OptimizerOptions } from "./optimizers/optimizer.js";
export { OPTIMIZERS, type OptimizerName } from "./optimizers/registry.js";
export { resolvePairing, type Pairing, type PairingRequest } from "./optimizers/pairing.js";
