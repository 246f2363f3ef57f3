export { tensor, type TensorValue } from "./tensor-value.js";
export { channelPair, type Channel } from "./channel.js";
export {
  FunctionPlan,
  plan,
  type PlanFunction,
  type PlanOptions,
  type PlanStateReader,
} from "./function-plan.js";
export { ModulePlan } from "./module-plan.js";
export { Pointer } from "./pointer.js";
export { PointerPlan } from "./pointer-plan.js";
export { Protocol } from "./protocol.js";
export { RemoteWorker } from "./remote-worker.js";
export { VirtualWorker, type VirtualWorkerOptions } from "./virtual-worker.js";
export { HOST_LIMITS, PlanHost, type HostLimits } from "./plan-host.js";
