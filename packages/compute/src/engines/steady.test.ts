import { setImmediate as nextTurn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { buildModel } from "../models/build-model.js";
import type { ModelBuilder } from "../models/model-builder.js";
import { traceModel } from "../trace/trace-model.js";
import { onnxEngine } from "./onnx/onnx-engine.js";

const STEPS = 100_000;
/** What caches and statistics may take; one number kept in each step would be 800 KB. */
const SLACK_BYTES = 600_000;

/** State and noise included. */
const network: ModelBuilder = ({ layers, sequential }, { inputShape, outputSize }) =>
  sequential({
    layers: [
      layers.dense({ inputShape: [...inputShape], units: 4 }),
      layers.batchNormalization(),
      layers.dropout({ rate: 0.2 }),
      layers.dense({ units: outputSize }),
    ],
  });

it(`keeps nothing of a step: ${STEPS} of them leave the memory as it was`, async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const model = buildModel(network, { name: "m", inputShape: [4], outputSize: 2, seed: 1 });
  const { train, initialWeights, initialState } = traceModel(model, {
    batchSize: 2,
    evaluationBatchSize: 2,
    loss: "softmaxCrossEntropy",
  });
  model.dispose();
  const executable = await onnxEngine().compile(train);
  const [x, y] = [new Float32Array(8).fill(0.5), Float32Array.of(1, 0, 0, 1)];
  const gradients = new Float32Array(initialWeights.length);
  let [state, nextState] = [initialState.slice(), initialState.slice()];
  const run = async (steps: number): Promise<number> => {
    for (let step = 0; step < steps; step++) {
      const context = { state, nextState, noiseSeed: 1, noiseStep: step };
      executable.run({ x, y }, initialWeights, gradients, context);
      [state, nextState] = [nextState, state];
      // Native memory is freed when the event loop turns.
      if (step % 1000 === 0) await nextTurn();
    }
    collect();
    await nextTurn();
    collect();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const before = await run(2_000);
  expect((await run(STEPS)) - before).toBeLessThan(SLACK_BYTES);
  executable.dispose();
});
