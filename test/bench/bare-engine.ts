/**
 * The bare loop that a worker's step is compared with: the same plan on the same engine, the same batches, the same
 * gradient descent, and nothing else. A process of its own: `node bare-engine.js DATASET STEPS` prints steps per second.
 */
import { performance } from "node:perf_hooks";
import { MODELS, buildModel, onnxEngine, traceModel } from "@psgd/compute";
import { SILENT } from "@psgd/core";
import { BlockSampler, defaultTransforms, fillBatch, loadDataset, prepareData } from "@psgd/data";
import { diskStore } from "@psgd/runtime";
import { GRADIENT_DESCENTS } from "@psgd/sgd";

const [datasetName, stepCount] = [process.argv[2]!, Number(process.argv[3])];
const size = { batchSize: 64, blockCount: 1 };

const directory = process.env["PSGD_DATA_DIR"] ?? "";
const dataset = await loadDataset(datasetName, {
  store: diskStore(directory),
  directory,
  log: SILENT,
});
const { train: view } = prepareData(dataset, defaultTransforms(dataset), { seed: 1, ...size });
const sampler = new BlockSampler(view, size);
const model = buildModel(MODELS.mlp, {
  inputShape: [view.inputSize],
  outputSize: view.targetSize,
  seed: 1,
  name: "mlp",
});
const { train, layout, initialWeights } = traceModel(model, {
  batchSize: size.batchSize,
  evaluationBatchSize: size.batchSize,
  loss: "softmaxCrossEntropy",
});
const step = await onnxEngine().compile(train);
const { momentum } = GRADIENT_DESCENTS;
const descent = momentum.create(layout.size, momentum.defaultLearningRate);

const weights = initialWeights.slice();
const gradient = new Float32Array(layout.size);
const x = new Float32Array(size.batchSize * view.inputSize);
const y = new Float32Array(size.batchSize * view.targetSize);
let startedAt = performance.now();
for (let t = 0; t < stepCount; t++) {
  fillBatch(view, sampler.rows({ step: t, blockId: 0 }), { x, y });
  step.run({ x, y }, weights, gradient);
  descent.delta(gradient);
  for (let i = 0; i < weights.length; i++) weights[i]! -= gradient[i]!;
  // As in a trace, time counts from the end of the first step.
  if (t === 0) startedAt = performance.now();
}
console.log((1000 * (stepCount - 1)) / (performance.now() - startedAt));
