/**
 * Times the training step of the mlp model: `node packages/compute/dist/step.bench.js` after a build.
 * One thread, batch 64; each step reads its own parameters and writes gradients to new memory, as a node does.
 */
import { seededRandom } from "@psgd/core";
import { buildModel, MODELS, onnxEngine, traceModel } from "./index.js";

const BATCH = 64;
const WARM_UP_STEPS = 200;
const STEPS = 1000;
const ROUNDS = 5;

const model = buildModel(MODELS.mlp, { name: "mlp", inputShape: [784], outputSize: 10, seed: 1 });
const startedAt = performance.now();
const { train, initialWeights, layout } = traceModel(model, {
  batchSize: BATCH,
  evaluationBatchSize: BATCH,
  loss: "softmaxCrossEntropy",
});
const tracedAt = performance.now();
const executable = await onnxEngine({ threads: 1 }).compile(train);
const compiledAt = performance.now();

const random = seededRandom("bench");
const x = Float32Array.from({ length: BATCH * 784 }, () => random.normal());
const y = new Float32Array(BATCH * 10);
for (let row = 0; row < BATCH; row++) y[row * 10 + (row % 10)] = 1;
const weights = initialWeights.slice();

function stepMs(): number {
  const gradients = new Float32Array(layout.size);
  const before = performance.now();
  executable.run({ x, y }, weights, gradients);
  return performance.now() - before;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}

for (let step = 0; step < WARM_UP_STEPS; step++) stepMs();
const medians = Array.from({ length: ROUNDS }, () =>
  median(Array.from({ length: STEPS }, () => stepMs())),
);
const milliseconds = (value: number): string => value.toFixed(3);
console.log(`mlp 784-128-128-10 tanh, batch ${BATCH}, forward and backward, onnx engine, 1 thread`);
console.log(
  `  trace ${milliseconds(tracedAt - startedAt)} ms, compile ${milliseconds(compiledAt - tracedAt)} ms`,
);
console.log(
  `  step: median ${milliseconds(median(medians))} ms; medians of ${ROUNDS} rounds of ${STEPS}: ${medians.map(milliseconds).join(" ")}`,
);
executable.dispose();
model.dispose();
