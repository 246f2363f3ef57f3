import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { readTrace, startCluster, type Cluster } from "../support/cluster.js";
import { hasMnist } from "../support/has-mnist.js";

// Figures: what the original reaches with this network, batch, rule and number of epochs.
describe.skipIf(!hasMnist())("one worker, two epochs of MNIST with Adam", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster({ workerCount: 1 });
  });
  afterAll(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  test.for([1, 2, 3])("reaches the original's accuracy with seed %i", async (seed) => {
    const results = join(cluster.directory, `seed-${seed}`);
    await mkdir(results);
    const { code, output } = await cluster.submit([
      ...["--codec", "plain.Plain", "--node-count", "1", "--epochs", "2", "--batch-size", "64"],
      ...["--gradient-descent", "adam", "--learn-rate", "0.001", "--seed", String(seed)],
      ...["--output-dir", results],
    ]);
    expect(code, output).toBe(0);
    const last = (await readTrace(results, "E", 0)).at(-1)!;
    expect(last["Epochs"]).toBe(2);
    expect(last["accuracy"]).toBeGreaterThanOrEqual(0.954);
    expect(last["Loss"]).toBeLessThanOrEqual(0.262);
  });
});
