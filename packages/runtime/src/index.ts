export * from "./job.js";
export { SharedValues } from "./node/shared-values.js";
export type { NodeCommand, NodeControl, NodeEvent, NodeWorld } from "./node/node-world.js";
export { runNode } from "./node/run-node.js";
export { Mesh, blockPacket, type MeshOptions } from "./node/mesh.js";
export { constructCodec, isCodecClass, loadCodecClass } from "./node/load-codec.js";
export type { NodeHandle, NodeHost, NodeObserver } from "./node-host.js";
export { WorkerDaemon, type WorkerDaemonOptions } from "./worker-daemon.js";
export {
  JobClient,
  JobFollower,
  followJob,
  submitJob,
  tryAgainIfTaken,
  type JobObserver,
  type JobOutcome,
  type Placement,
  type SubmitOptions,
} from "./coordinator.js";
export type { PlanProcess, StartPlanProcess } from "./plan-service.js";
export { placeNodes, type WorkerFile } from "./placement.js";
export { fetchResults, listRecords, type NodeResults } from "./results.js";
export { watchConnection } from "./connection-watch.js";
export type { WorkerReply, WorkerRequest } from "./worker-protocol.js";
export { packageKey } from "./worker-store.js";
export { systemClock } from "./system/system-clock.js";
export { systemRandom } from "./system/system-random.js";
export { diskStore } from "./system/disk-store.js";
export { moduleLoader } from "./system/module-loader.js";
export { processNodeHost, type NodeProcessSpec } from "./system/process-node-host.js";
export { stuckNodeError } from "./system/stuck-node.js";
export { threadNodeHost, type NodeThreadTask } from "./system/thread-node-host.js";
export { watchPulse } from "./system/watch-pulse.js";
export { lineLogger, logFile } from "./system/log-file.js";
