export { loadTensorFlow, type TensorFlow } from "./tensorflow.js";
export type { Tensor, Variable } from "@tensorflow/tfjs";
export { PLAN_LIMITS, validatePlan } from "./validate-plan.js";
export { estimateCost, type PlanCost } from "./plan-cost.js";
export { trace, traceStep, type TracedStep } from "./trace/trace.js";
export type { StepResult, TracedVariable, TraceRequest, Tracing } from "./trace/trace-request.js";
export {
  cond,
  loop,
  type Branch,
  type LoopRequest,
  type LoopResult,
} from "./trace/control-flow.js";
export {
  traceModel,
  type LossName,
  type TracedModel,
  type TraceModelOptions,
} from "./trace/trace-model.js";
export { traceTrainFunction } from "./trace/trace-train-function.js";
export type { ModelBuilder, ModelShape } from "./models/model-builder.js";
export { MODELS, type ModelName } from "./models/registry.js";
export { savedModel } from "./models/saved-model.js";
export { buildModel } from "./models/build-model.js";
export { autoEngine } from "./engines/auto-engine.js";
export { onnxEngine } from "./engines/onnx/onnx-engine.js";
export { wasmEngine } from "./engines/onnx/wasm-engine.js";
export { disableTelemetry } from "./engines/onnx/telemetry.js";
export {
  PROBE_BATCH,
  availableEngines,
  probeEngines,
  type EngineProbe,
} from "./engines/probe-engines.js";
export { ENGINES, type EngineName } from "./engines/registry.js";
export { tensorflowEngine } from "./engines/tensorflow-engine.js";
export { tfjsEngine } from "./engines/tfjs-engine.js";
export { joinTensors, type NamedTensors } from "./export/named-tensors.js";
export { layersModelFiles } from "./export/layers-model.js";
export { onnxModelFile } from "./export/onnx-model.js";
export { safetensorsFile } from "./export/safetensors.js";
