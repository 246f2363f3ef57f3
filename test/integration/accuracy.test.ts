import { describe, expect, test } from "vitest";
import { readTrace, startCluster } from "../support/cluster.js";
import { WITHOUT_MNIST, hasMnist } from "../support/has-mnist.js";

// Figures: what the original reaches with this network, batch, rule and number of epochs.
describe("one worker, two epochs of MNIST with Adam", () => {
  test.for([1, 2, 3])("reaches the original's accuracy with seed %i", async (seed, { skip }) => {
    skip(!hasMnist(), WITHOUT_MNIST);
    await using cluster = await startCluster({ workerCount: 1 });
    const { code, output } = await cluster.submit([
      ...["--codec", "plain.Plain", "--node-count", "1", "--epochs", "2", "--batch-size", "64"],
      ...["--gradient-descent", "adam", "--learn-rate", "0.001", "--seed", String(seed)],
    ]);
    expect(code, output).toBe(0);
    const last = (await readTrace(cluster.directory, "E", 0)).at(-1)!;
    expect(last["Epochs"]).toBe(2);
    expect(last["accuracy"]).toBeGreaterThanOrEqual(0.954);
    expect(last["Loss"]).toBeLessThanOrEqual(0.262);
  });
});
