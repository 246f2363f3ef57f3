export { describeAssignment } from "./assignment-contract.js";
export { describeSyncPolicy, type SyncPolicyPromise } from "./sync-policy-contract.js";
export { VirtualClock } from "./virtual-clock.js";
export {
  describeDirectory,
  describeTransport,
  type DirectorySetup,
  type TransportSetup,
} from "./transport-contract.js";
export { runCodecHarness, type CodecHarnessOptions, type HarnessReport } from "./codec-harness.js";
export type { Agreement } from "./result-checks.js";
