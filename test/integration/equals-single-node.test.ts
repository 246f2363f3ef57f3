import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildModel, MODELS, tfjsEngine, traceModel } from "@psgd/compute";
import { SILENT } from "@psgd/core";
import { BlockSampler, defaultTransforms, fillBatch, loadDataset, prepareData } from "@psgd/data";
import { readManifest, readSafetensors, startCluster, type Cluster } from "../support/cluster.js";
import { MemoryStore } from "../support/memory-store.js";

const STEPS = 50;
const SEED = 5;
const LEARNING_RATE = 0.05;
const MOMENTUM = 0.9;

/**
 * The oracle: heavy-ball momentum on all blocks of a step as one batch, with nothing distributed, computed by
 * TensorFlow.js's own kernels.
 */
async function trainJoined(batchSize: number): Promise<Record<"before" | "after", Float32Array>> {
  const dataset = await loadDataset("digits", {
    store: new MemoryStore(),
    directory: "",
    log: SILENT,
  });
  const data = prepareData(dataset, defaultTransforms(dataset), {
    seed: SEED,
    blockCount: 1,
    batchSize,
  });
  const model = buildModel(MODELS.mlp, {
    inputShape: [784],
    outputSize: 10,
    seed: SEED,
    name: "mlp",
  });
  const traced = traceModel(model, {
    batchSize,
    evaluationBatchSize: batchSize,
    loss: "softmaxCrossEntropy",
  });
  const step = await tfjsEngine().compile(traced.train);
  const sampler = new BlockSampler(data.train, { batchSize, blockCount: 1 });
  const weights = traced.initialWeights.slice();
  const gradients = new Float32Array(weights.length);
  const velocity = new Float64Array(weights.length);
  const x = new Float32Array(batchSize * 784);
  const y = new Float32Array(batchSize * 10);
  for (let t = 0; t < STEPS; t++) {
    fillBatch(data.train, sampler.rows({ step: t, blockId: 0 }), { x, y });
    step.run({ x, y }, weights, gradients);
    for (let i = 0; i < weights.length; i++) {
      velocity[i] = MOMENTUM * velocity[i]! + LEARNING_RATE * gradients[i]!;
      weights[i]! -= velocity[i]!;
    }
  }
  return { before: traced.initialWeights, after: weights };
}

// Of 64 samples a block there are enough for 46 steps: the 4 nodes end in their second epoch.
const SIZES = [
  { nodeCount: 2, batchSize: 16 },
  { nodeCount: 4, batchSize: 64 },
];

describe.each(SIZES)("plain.Plain on $nodeCount nodes after 50 steps", (size) => {
  const { nodeCount, batchSize } = size;
  let expected: Awaited<ReturnType<typeof trainJoined>>;
  let cluster: Cluster;
  const models = new Set<string | undefined>();
  beforeAll(async () => {
    [expected, cluster] = await Promise.all([
      trainJoined(nodeCount * batchSize),
      startCluster({ workerCount: 2, slots: 2 }),
    ]);
  }, 120_000);
  afterAll(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  test.for(["memory", "NATS"])(
    "equals one node on the joined batch, over %s",
    async (network, context) => {
      const results = join(cluster.directory, network);
      await mkdir(results);
      const { code, output } = await cluster.submit([
        ...["--codec", "plain.Plain", "--node-count", String(nodeCount), "--dataset", "digits"],
        ...["--batch-size", String(batchSize), "--steps", String(STEPS), "--epochs", "2"],
        ...["--gradient-descent", "momentum", "--learn-rate", String(LEARNING_RATE)],
        ...["--seed", String(SEED), "--output-dir", results],
        ...(network === "memory" ? ["--local"] : []),
      ]);
      expect(code, output).toBe(0);
      const { home, manifest } = await readManifest(results);
      expect(manifest.nodes.map(({ summary }) => summary?.steps)).toEqual(
        Array<number>(nodeCount).fill(STEPS),
      );
      for (const { summary } of manifest.nodes) models.add(summary?.modelSha256);
      expect(models.size, "bit-equal across nodes and networks").toBe(1);
      const weights = await readSafetensors(join(home, "model", "model.safetensors"));
      const difference = largestDifference(weights, expected.after);
      await context.annotate(`largest difference ${difference.toExponential(1)}`);
      expect(difference).toBeLessThanOrEqual(1e-5);
      // Training has moved them much further than that, or the comparison would say nothing.
      expect(largestDifference(weights, expected.before)).toBeGreaterThan(1e-2);
    },
  );
});

function largestDifference(a: Float32Array, b: Float32Array): number {
  return a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - b[i]!)), 0);
}
