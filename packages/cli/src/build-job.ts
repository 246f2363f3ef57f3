import { readFile, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { MODELS, buildModel, loadTensorFlow, savedModel, traceModel } from "@psgd/compute";
import {
  ASSIGNMENTS,
  PsgdError,
  type AssignmentName,
  type CodecParameters,
  type Logger,
} from "@psgd/core";
import {
  BlockSampler,
  datasetToBytes,
  defaultTransforms,
  prepareData,
  type Dataset,
  type TransformDescription,
} from "@psgd/data";
import { chooseCodecs, type CodecRequest, type TensorPair } from "./choose-codecs.js";
import { moduleLoader, packJob, type JobPackages, type JobSpec } from "@psgd/runtime";
import { GRADIENT_DESCENTS, type GradientDescentName, type SyncPolicyName } from "@psgd/sgd";
import { TENSORFLOW_GLOBAL, bundleModule } from "./bundle.js";
import { bundleDirectory, openDataset, type EngineChoice } from "./compose.js";
import { didYouMean, nearMiss } from "./near-miss.js";
import type { DownloadProgress } from "@psgd/data";

/** What the user asked for; `undefined` where he left it to us. */
export interface JobRequest extends CodecRequest {
  readonly nodeCount: number;
  readonly redundancy: number;
  readonly blockAssignment: AssignmentName;
  readonly batchSize: number;
  readonly epochs: number;
  readonly maxSteps: number | undefined;
  readonly seed: number;
  readonly sync: SyncPolicyName;
  readonly staleness: number;
  readonly syncTimeoutMs: number;
  readonly codecTimeoutMs: number;
  readonly gradientDescent: GradientDescentName;
  readonly learningRate: number | undefined;
  readonly parameters: CodecParameters;
  readonly model: string;
  readonly dataset: string;
  readonly nonIid: boolean;
  /** Shards of the sorted samples that each block has for itself. */
  readonly shards: number | undefined;
  readonly inputSize: number | undefined;
  readonly engine: EngineChoice;
  /** Names of layers that keep their weights. */
  readonly freeze: readonly string[];
  readonly targetAccuracy: number | undefined;
}

/** A job that can be submitted. */
export interface BuiltJob {
  readonly spec: JobSpec;
  readonly packages: JobPackages;
  readonly dataset: Dataset;
  readonly parameterCount: number;
  /** The codecs, as classes: of the whole model, or of each tensor. */
  readonly pairs: readonly TensorPair[];
}

const EVALUATION_BATCH_SIZE = 250;

/**
 * Validates a request and builds everything that travels: nothing is sent before all of it fits together.
 * @throws {PsgdError} SETTINGS_INVALID, ASSIGNMENT_INVALID, CODEC_LOAD_FAILED, PAIRING_INVALID, MODEL_INVALID,
 *   PLAN_INVALID, DATA_UNAVAILABLE, DATA_CORRUPT
 */
export async function buildJob(
  request: JobRequest,
  world: { readonly log: Logger; readonly onDownload?: (progress: DownloadProgress) => void },
): Promise<BuiltJob> {
  const assignment = ASSIGNMENTS[request.blockAssignment](request);
  const codecs = await chooseCodecs(request);
  const dataset = await openDataset(request.dataset, {
    log: world.log,
    ...(world.onDownload === undefined ? {} : { onProgress: world.onDownload }),
  });
  const transforms = transformsOf(request, dataset);
  const size = {
    seed: request.seed,
    blockCount: assignment.blockCount,
    batchSize: request.batchSize,
  };
  const sampler = new BlockSampler(prepareData(dataset, transforms, size).train, size);
  const model = await traceRequested(request, dataset);
  const { stepsPerEpoch } = sampler;
  const stepCount = Math.min(request.epochs * stepsPerEpoch, request.maxSteps ?? Infinity);
  const spec: JobSpec = {
    codec: codecs.codec,
    serverCodec: codecs.serverCodec,
    codecMap: codecs.codecMap,
    perTensor: request.perTensor,
    nodeCount: request.nodeCount,
    redundancy: request.redundancy,
    blockAssignment: request.blockAssignment,
    batchSize: request.batchSize,
    epochs: request.epochs,
    maxSteps: request.maxSteps,
    seed: request.seed,
    sync: request.sync,
    staleness: request.staleness,
    syncTimeoutMs: request.syncTimeoutMs,
    codecTimeoutMs: request.codecTimeoutMs,
    optimizer: codecs.optimizer,
    gradientDescent: request.gradientDescent,
    learningRate:
      request.learningRate ?? GRADIENT_DESCENTS[request.gradientDescent].defaultLearningRate,
    parameters: request.parameters,
    model: request.model,
    dataset: request.dataset,
    transforms,
    engine: request.engine,
  };
  const packages = packJob({
    settings: {
      nodeCount: spec.nodeCount,
      hasServer: codecs.serverCodec !== undefined,
      redundancy: spec.redundancy,
      blockAssignment: spec.blockAssignment,
      batchSize: spec.batchSize,
      stepsPerEpoch,
      stepCount,
      seed: spec.seed,
      parameters: spec.parameters,
    },
    codecs: {
      ...codecs.variablesFor(model.layout),
      sync: spec.sync,
      staleness: spec.staleness,
      syncTimeoutMs: spec.syncTimeoutMs,
      codecTimeoutMs: spec.codecTimeoutMs,
      optimizer: spec.optimizer,
      gradientDescent: spec.gradientDescent,
      learningRate: spec.learningRate,
    },
    model,
    misc: {
      epochs: spec.epochs,
      targetAccuracy: targetAccuracyOf(request, dataset),
      engine: spec.engine,
      transforms,
    },
    dataset: datasetToBytes(dataset),
  });
  const pairs = codecs.pairsFor(model.layout);
  return { spec, packages, pairs, dataset, parameterCount: model.layout.size };
}

function targetAccuracyOf({ targetAccuracy }: JobRequest, dataset: Dataset): number | undefined {
  if (targetAccuracy === undefined || dataset.task === "classification") return targetAccuracy;
  throw new PsgdError(
    "SETTINGS_INVALID",
    `\`--target-accuracy\`: expected a data set with classes, got ${dataset.name}, whose targets are numbers; leave it out`,
  );
}

function transformsOf(request: JobRequest, dataset: Dataset): readonly TransformDescription[] {
  const { nonIid, shards, batchSize } = request;
  if (nonIid && shards !== undefined) {
    throw new PsgdError(
      "SETTINGS_INVALID",
      "`--non-iid` and `--shards`: expected one of them, got both; leave one out",
    );
  }
  return [
    ...defaultTransforms(dataset),
    ...(nonIid ? [{ name: "make_non_iid", batchSize } as const] : []),
    ...(shards === undefined ? [] : [{ name: "shards", perBlock: shards } as const]),
  ];
}

async function traceRequested(request: JobRequest, dataset: Dataset) {
  const inputSize = dataset.inputShape.reduce((product, extent) => product * extent, 1);
  if (request.inputSize !== undefined && request.inputSize !== inputSize) {
    throw new PsgdError(
      "SETTINGS_INVALID",
      `\`--input\`: expected ${inputSize}, the size of a sample of ${dataset.name}, got ${request.inputSize}; leave it out`,
    );
  }
  const builder = Object.hasOwn(MODELS, request.model)
    ? MODELS[request.model as keyof typeof MODELS]
    : await userModel(request.model);
  const model = buildModel(builder, {
    inputShape: [inputSize],
    outputSize: dataset.outputSize,
    seed: request.seed,
    name: request.model,
  });
  try {
    freeze(model, request.freeze);
    const traced = traceModel(model, {
      batchSize: request.batchSize,
      evaluationBatchSize: EVALUATION_BATCH_SIZE,
      loss: dataset.task === "classification" ? "softmaxCrossEntropy" : "meanSquaredError",
    });
    return { ...traced, evaluationBatchSize: EVALUATION_BATCH_SIZE };
  } finally {
    model.dispose();
  }
}

/** Makes layers keep their weights: these are neither trained nor sent. */
function freeze(model: ReturnType<typeof buildModel>, names: readonly string[]): void {
  const known = model.layers.map(({ name }) => name);
  for (const name of names) {
    const layer = model.layers.find((candidate) => candidate.name === name);
    if (layer === undefined) {
      throw new PsgdError(
        "MODEL_INVALID",
        `\`--freeze\`: expected layers of the model (${known.join(", ")}), got ${JSON.stringify(name)}${didYouMean(nearMiss(name, known))}`,
      );
    }
    layer.trainable = false;
  }
}

/** A saved model, its directory or `model.json`; else the default export of a user's file, whose `@tensorflow/tfjs` is the tracer's own copy. */
async function userModel(file: string): Promise<unknown> {
  const found = await stat(file).catch(() => undefined);
  const saved = found?.isDirectory() === true ? join(file, "model.json") : file;
  if (saved.endsWith(".json") && (await isFile(saved))) {
    const text = await readFile(saved, "utf8");
    return savedModel(saved, text, (name) => readFile(join(dirname(saved), name)));
  }
  if (found?.isFile() !== true) {
    throw new PsgdError(
      "MODEL_INVALID",
      `\`--model\`: expected ${Object.keys(MODELS).join(", ")}, a file, or a directory with a saved model, got ${JSON.stringify(file)}${didYouMean(nearMiss(file, Object.keys(MODELS)))}`,
    );
  }
  const source = await bundleModule(resolve(file), "MODEL_INVALID");
  (globalThis as Record<symbol, unknown>)[Symbol.for(TENSORFLOW_GLOBAL)] = loadTensorFlow();
  try {
    return (await moduleLoader(bundleDirectory())(source))["default"];
  } catch (cause) {
    throw new PsgdError(
      "MODEL_INVALID",
      `${file}: its code threw while it was loaded: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}

async function isFile(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found?.isFile() === true;
}
