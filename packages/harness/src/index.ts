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
export {
  measureTraffic,
  type TrafficMeasurement,
  type TrafficSeen,
  type TrafficSubject,
} from "./traffic.js";
export type { CodecPair, SentMessage } from "./harness-run.js";
export type { Agreement } from "./result-checks.js";
export { limitsOf, runScenario, runSeeds } from "./simulation/run-seeds.js";
export {
  simulatedJob,
  type SimulatedJob,
  type SimulatedJobOptions,
} from "./simulation/simulated-job.js";
export {
  drawScenario,
  type Fault,
  type Scenario,
  type ScenarioLimits,
} from "./simulation/scenario.js";
export type { Outcome } from "./simulation/world.js";
export type { NodeParts } from "./simulation/node-parts.js";
export { INVARIANTS, type InvariantName, type Violation } from "./simulation/invariants.js";
export { shrink } from "./simulation/shrink.js";
export { failureInWords } from "./simulation/failure-in-words.js";
export { runSeedsOnPool } from "./simulation/seed-pool.js";
export { unpackJob, type PortableJob, type SeedReport } from "./simulation/seed-task.js";
export { examineCodec, type CodecExamination } from "./conformance/examine-codec.js";
export { describeCodec, type DescribedCodec } from "./conformance/describe-codec.js";
export { reportPage, type ReportedExamination } from "./report/page.js";
export { CHECKS, type CheckName, type Finding, type Verdict } from "./conformance/finding.js";
export { Broker } from "./simulation/broker.js";
export { Machine } from "./simulation/machine.js";
export { Scheduler } from "./simulation/scheduler.js";
export { Trace } from "./simulation/trace.js";
