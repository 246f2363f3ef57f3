import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readManifest, readTrace } from "../support/cluster.js";
import { startCli } from "../support/processes.js";

const NODES = Array.from({ length: 20 }, (_, node) => node);
/** 12,000 samples in blocks of 10 on 20 nodes: an epoch of 60 steps, as long as a round. */
const ROUND = 60;
const CLIENTS = 5;

/** One job of twenty nodes in one process; `digests`, `trained` and `evaluated` by node. */
async function run(args: readonly string[]): Promise<{
  digests: (string | undefined)[];
  trained: number[][];
  evaluated: { epoch: number; accuracy: number; node: number }[];
}> {
  const directory = await mkdtemp(join(tmpdir(), "psgd-sampling-"));
  try {
    await using job = startCli("job-submit", [
      ...["--local", "--codec", "fedavg.FedAvgClient", "--node-count", String(NODES.length)],
      ...["--param", `local_steps=${ROUND}`, "--param", `fraction=${CLIENTS / NODES.length}`],
      ...["--dataset", "digits", "--batch-size", "10", "--gradient-descent", "sgd"],
      ...["--learn-rate", "0.1", "--shards", "2", "--output-dir", directory, ...args],
    ]);
    const { code } = await job.exit(60_000);
    expect(code, job.output).toBe(0);
    const { manifest } = await readManifest(directory);
    const workers = manifest.nodes.filter(({ nodeId }) => nodeId >= 0);
    const steps = await Promise.all(NODES.map((node) => readTrace(directory, "T", node)));
    const evaluations = await Promise.all(NODES.map((node) => readTrace(directory, "E", node)));
    return {
      digests: workers.map(({ summary }) => summary?.modelSha256),
      trained: steps.map((rows) => rows.map((row) => row["Total"]! - 1)),
      evaluated: evaluations
        .flatMap((rows, node) =>
          rows.map((row) => ({ epoch: row["Epochs"]!, accuracy: row["accuracy"]!, node })),
        )
        .sort((a, b) => a.epoch - b.epoch),
    };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

describe("federated averaging of 5 of 20 nodes in each round", () => {
  test("trains the clients of a round only, evaluates once, and ends with one model", async () => {
    const { digests, trained, evaluated } = await run(["--epochs", "4"]);
    for (let round = 0; round < 4; round++) {
      const rounds = trained.map((steps) => steps.filter((s) => Math.floor(s / ROUND) === round));
      const clients = NODES.filter((node) => rounds[node]!.length > 0);
      expect(clients).toHaveLength(CLIENTS);
      for (const client of clients) expect(rounds[client]).toHaveLength(ROUND);
      // The first of them speaks for all.
      expect(evaluated[round]).toMatchObject({ epoch: round + 1, node: clients[0] });
    }
    expect(evaluated).toHaveLength(4);
    expect(digests).toHaveLength(NODES.length);
    expect(new Set(digests).size).toBe(1);
  }, 90_000);

  test("also gives all nodes the model where it ends at its target", async () => {
    const { digests, evaluated } = await run(["--epochs", "200", "--target-accuracy", "0.5"]);
    const accuracies = evaluated.map(({ accuracy }) => accuracy);
    expect(accuracies.findIndex((accuracy) => accuracy >= 0.5)).toBe(accuracies.length - 1);
    expect(accuracies.length).toBeLessThan(200);
    expect(digests).toHaveLength(NODES.length);
    expect(new Set(digests).size).toBe(1);
    expect(digests[0]).toMatch(/^[0-9a-f]{64}$/);
  }, 90_000);
});
