import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readManifest, readTrace, startCluster } from "../support/cluster.js";

/** Batch normalisation and dropout; its first layer is there to be frozen. */
const MODEL = `export default (tf, { inputShape, outputSize }) =>
  tf.sequential({
    layers: [
      tf.layers.dense({ inputShape, units: 32, name: "body" }),
      tf.layers.batchNormalization({ name: "norm" }),
      tf.layers.activation({ activation: "relu" }),
      tf.layers.dropout({ rate: 0.1 }),
      tf.layers.dense({ units: outputSize, name: "head" }),
    ],
  });
`;

test("a frozen layer is neither trained nor sent; moving averages come home with the model", async () => {
  await using cluster = await startCluster({ workerCount: 2 });
  await writeFile(join(cluster.directory, "model.js"), MODEL);
  const job = [
    ...["--codec", "plain.Plain", "--node-count", "2", "--dataset", "digits", "--epochs", "2"],
    ...["--model", join(cluster.directory, "model.js"), "--gradient-descent", "adam"],
  ];
  const bytesOf: number[] = [];
  for (const [index, extra] of [[], ["--freeze", "body"]].entries()) {
    const results = join(cluster.directory, String(index));
    await mkdir(results);
    const { code, output } = await cluster.submit([...job, ...extra, "--output-dir", results]);
    expect(code, output).toBe(0);
    const { manifest } = await readManifest(results);
    const [first, second] = manifest.nodes.map(({ summary }) => summary!);
    // Moving averages are each node's own; what is trained is one model.
    expect(first!.modelSha256).toBe(second!.modelSha256);
    bytesOf.push(first!.bytesSent / first!.steps);
  }
  const trained = { body: 784 * 32 + 32, norm: 64, head: 32 * 10 + 10 };
  const expected = [trained.body + trained.norm + trained.head, trained.norm + trained.head];
  bytesOf.forEach((bytes, index) => {
    expect(bytes).toBeGreaterThanOrEqual(4 * expected[index]!);
    expect(bytes).toBeLessThan(4 * expected[index]! * 1.1 + 500);
  });
});

test("training ends after the epoch that reaches the target, on all nodes alike", async () => {
  await using cluster = await startCluster({ workerCount: 3 });
  const { code, output } = await cluster.submit([
    ...["--codec", "naive_ps.PSClient", "--server-codec", "naive_ps.GradDiffPS"],
    ...["--node-count", "2", "--dataset", "digits", "--epochs", "50", "--target-accuracy", "0.9"],
    ...["--gradient-descent", "adam"],
  ]);
  expect(code, output).toBe(0);
  const ends = await Promise.all([0, 1].map((node) => readTrace(cluster.directory, "E", node)));
  for (const rows of ends) {
    expect(rows.length).toBe(ends[0]!.length);
    expect(rows.length).toBeLessThan(50);
  }
  const accuracies = ends[0]!.map((row) => row["accuracy"]!);
  expect(accuracies.at(-1)).toBeGreaterThanOrEqual(0.9);
  for (const accuracy of accuracies.slice(0, -1)) expect(accuracy).toBeLessThan(0.9);
});
