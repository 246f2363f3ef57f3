export { CodecActor, type CodecActorOptions, type Emit } from "./codec-actor.js";
export {
  SYNC_POLICIES,
  asynchronousSgd,
  synchronousSgd,
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
