import { Codec, netEncapsulation, type BlockWeight, type NetEncapsulation } from "@psgd/core";
import { fetchResults } from "@psgd/runtime";
import { describe, expect, it } from "vitest";
import { FedAsyncClient, FedAsyncServer } from "../../codecs/fedasync.js";
import { FedAvgClient, FedAvgServer } from "../../codecs/fedavg.js";
import { Plain } from "../../codecs/plain.js";
import {
  TestCluster,
  testJob,
  tinyDataset,
  type TestJob,
  type TestJobOptions,
} from "./test-cluster.js";

/** Poisons the result of step 1 on node 1. */
class Poisoner extends Codec {
  static override readonly carries = "gradients";
  override updateBlocks({ content, step }: BlockWeight): void {
    if (this.nodeId === 1 && step === 1) content.fill(NaN);
    this.setResult(content);
  }
}

/** Sends to a node that does not exist. */
class Misaddresser extends Codec {
  static override readonly carries = "gradients";
  override updateBlocks({ content }: BlockWeight): NetEncapsulation {
    return netEncapsulation(7, content);
  }
}

/** Needs nobody; node 1 never comes to the end of step 2. */
class Staller extends Codec {
  static override readonly carries = "gradients";
  override updateBlocks({ content, step }: BlockWeight): Promise<void> | undefined {
    if (this.nodeId === 1 && step === 2) return new Promise<void>(() => {});
    this.setResult(content);
    return undefined;
  }
}

const CODECS = {
  ...{ Plain, FedAvgClient, FedAvgServer, FedAsyncClient, FedAsyncServer },
  ...{ Poisoner, Misaddresser, Staller },
};

const decoder = new TextDecoder();

/** Full-batch gradient descent of y = w₀ x₀ + w₁ x₁ + b on the mean squared error, written out. */
function descend(initial: readonly number[], rate: number, steps: number): number[] {
  const { count, inputs, targets } = tinyDataset().train;
  const w = [...initial];
  for (let step = 0; step < steps; step++) {
    const gradient = [0, 0, 0];
    for (let row = 0; row < count; row++) {
      const x = [inputs[2 * row]!, inputs[2 * row + 1]!, 1];
      const error = x.reduce((sum, value, i) => sum + value * w[i]!, 0) - targets[row]!;
      x.forEach((value, i) => (gradient[i]! += (2 * error * value) / count));
    }
    gradient.forEach((value, i) => (w[i]! -= rate * value));
  }
  return w;
}

async function trained(job: TestJob): Promise<{
  weights: number[][];
  files: ReadonlyMap<string, Uint8Array>[];
  outcome: Awaited<ReturnType<TestCluster["run"]>>;
}> {
  const cluster = new TestCluster(CODECS);
  const workers = await cluster.workers(
    ...["a", "b", "c"].slice(0, job.spec.nodeCount + (job.spec.serverCodec === undefined ? 0 : 1)),
  );
  const outcome = await cluster.run(job, workers);
  const results = [];
  for (const { nodeId } of outcome.records.filter(({ nodeId }) => nodeId >= 0)) {
    const { address } = workers[nodeId]!.daemon.info();
    const fetching = fetchResults(outcome.client, cluster.clock, address, outcome.jobId, nodeId);
    results.push(await cluster.clock.run(fetching));
  }
  const files = results.map((result) => result.files);
  const weights = files.map((each) => {
    const bytes = each.get("model/weights.bin");
    return bytes === undefined ? [] : [...new Float32Array(bytes.slice().buffer)];
  });
  return { weights, files, outcome };
}

/** What the model starts with: a job of no effect tells. */
async function initialWeights(): Promise<number[]> {
  const { weights } = await trained(testJob({ codec: "Plain", nodeCount: 1, learningRate: 1e-30 }));
  return weights[0]!;
}

describe("a job over the runtime", () => {
  it("trains as one machine with all the data would, and all nodes end on the same weights", async () => {
    const initial = await initialWeights();
    const { weights, outcome } = await trained(testJob({ codec: "Plain", stepCount: 5 }));
    expect(outcome.error).toBeUndefined();
    expect(outcome.records.map(({ state }) => state)).toEqual(["done", "done"]);
    expect(weights[0]).toEqual(weights[1]);
    // Float32 sums in another order: a few units in the last of 24 bits.
    descend(initial, 0.1, 5).forEach((value, i) => expect(weights[0]![i]).toBeCloseTo(value, 5));
  });

  it("repeats bit for bit", async () => {
    const job = testJob({ codec: "Plain", stepCount: 4, nodeCount: 3, batchSize: 5 });
    const [first, second] = [await trained(job), await trained(job)];
    expect(second.weights).toEqual(first.weights);
  });

  it("finishes with a parameter server, which has no evaluation and no model of its own", async () => {
    const { outcome, weights } = await trained(
      testJob({
        codec: "FedAvgClient",
        serverCodec: "FedAvgServer",
        optimizer: "parameter_averaging",
        parameters: { local_steps: 2 },
        stepCount: 4,
      }),
    );
    expect(outcome.error).toBeUndefined();
    expect(outcome.records.map(({ nodeId, state }) => [nodeId, state])).toEqual([
      [-2, "done"],
      [0, "done"],
      [1, "done"],
    ]);
    expect(outcome.records[0]!.summary).toMatchObject({
      evaluation: undefined,
      modelSha256: undefined,
    });
    expect(weights[0]).toEqual(weights[1]);
  });

  it("finishes under bounded staleness, with nodes that talk to a parameter server only", async () => {
    const { outcome } = await trained(
      testJob({
        codec: "FedAsyncClient",
        serverCodec: "FedAsyncServer",
        optimizer: "parameter_averaging",
        ...{ sync: "ssp", staleness: 0 },
        parameters: { local_steps: 2 },
        stepCount: 6,
      }),
    );
    expect(outcome.error).toBeUndefined();
    expect(outcome.records.map(({ state }) => state)).toEqual(["done", "done", "done"]);
  });

  it.each([0, 1, 4])("lets a node be %i steps ahead, and says who is behind", async (staleness) => {
    const { outcome } = await trained(
      testJob({ codec: "Staller", sync: "ssp", staleness, stepCount: 20 }),
    );
    expect(outcome.error?.code).toBe("SYNC_TIMEOUT");
    expect(outcome.error?.message).toContain(
      `step ${3 + staleness} of node 0: expected all workers to be at most ${staleness} steps behind`,
    );
    expect(outcome.error?.message).toContain("got node 1 at step 2");
  });

  it("keeps a ledger: what one node has sent another is what that has received", async () => {
    const job = testJob({ codec: "Plain", stepCount: 4, nodeCount: 3, batchSize: 5 });
    const { outcome, files } = await trained(job);
    const ledgers = outcome.records.map(({ summary }) =>
      summary!.ledger.filter(({ codec }) => codec !== ""),
    );
    for (const [node, ledger] of ledgers.entries()) {
      for (const peer of [0, 1, 2].filter((other) => other !== node)) {
        const sent = ledger.find((entry) => entry.peer === peer && entry.direction === "sent");
        // Three values and a step, four times, and some 20 bytes around them.
        expect(sent).toMatchObject({ codec: "Plain", tensor: "", messages: 4, values: 3 });
        expect(sent!.bytes).toBeGreaterThan(4 * 3 * 4);
        expect(sent!.bytes).toBeLessThan(4 * (3 * 4 + 120));
        const received = ledgers[peer]!.find(
          (entry) => entry.peer === node && entry.direction === "received",
        );
        expect(received).toMatchObject({ messages: sent!.messages, bytes: sent!.bytes });
      }
      const file = decoder.decode(files[node]!.get(`L-N(3)-R(1)-ID(${node})-CODEC(Plain).csv`));
      expect(file.split("\n")[0]).toBe("Codec,Tensor,From,To,Direction,Messages,Bytes,Values");
      // Two peers: blocks and control messages, sent and received, and the link's own.
      expect(file.trim().split("\n")).toHaveLength(1 + 2 * 5);
    }
  });

  it.each<[string, TestJobOptions]>([
    ["peer to peer", { codec: "Plain", nodeCount: 3, batchSize: 5, stepCount: 4 }],
    [
      "a server, and clocks",
      {
        ...{ codec: "FedAsyncClient", serverCodec: "FedAsyncServer" },
        ...{ optimizer: "parameter_averaging", sync: "ssp", staleness: 0, stepCount: 6 },
        parameters: { local_steps: 2 },
      },
    ],
  ])("keeps a ledger whose sums are those of the links: %s", async (_name, options) => {
    const job = testJob(options);
    const { outcome, files } = await trained(job);
    expect(outcome.error).toBeUndefined();
    for (const { nodeId, summary } of outcome.records) {
      const title = `L-N(${job.spec.nodeCount})-R(1)-ID(${nodeId})-CODEC(${job.spec.codec}).csv`;
      const file = files.find((each) => each.has(title))?.get(title);
      const { ledger, bytesSent, bytesReceived, overheadBytes } = summary!;
      const sum = (direction: string, isOverhead: boolean): number =>
        ledger
          .filter((entry) => entry.direction === direction)
          .filter(({ tensor }) => (tensor === "overhead") === isOverhead)
          .reduce((total, { bytes }) => total + bytes, 0);
      expect(sum("sent", false)).toBe(bytesSent);
      expect(sum("received", false)).toBe(bytesReceived);
      expect(sum("sent", true)).toBe(overheadBytes);
      expect(sum("received", true)).toBe(0);
      if (nodeId < 0) continue;
      // The file says the same.
      const rows = decoder.decode(file).trim().split("\n").slice(1);
      const bytes = rows.map((row) => Number(row.split(",")[6]));
      const total = bytes.reduce((a, b) => a + b, 0);
      expect(total).toBe(bytesSent + bytesReceived + overheadBytes);
    }
  });

  it("keeps the ledger of a job that fails, its last words included", async () => {
    const { outcome, files } = await trained(testJob({ codec: "Poisoner", stepCount: 3 }));
    expect(outcome.error?.code).toBe("NOT_FINITE");
    files.forEach((each, nodeId) => {
      const file = decoder.decode(each.get(`L-N(2)-R(1)-ID(${nodeId})-CODEC(Poisoner).csv`));
      const [from, to] = [`node ${nodeId}`, `node ${1 - nodeId}`];
      // A greeting, and on node 1, which fails, why.
      expect(file).toMatch(new RegExp(`^,control,${from},${to},sent,${1 + nodeId},`, "m"));
    });
  });

  it("keeps traces of the original's names and columns, one row a step and a node", async () => {
    const { files } = await trained(testJob({ codec: "Plain", stepCount: 3 }));
    files.forEach((each, nodeId) => {
      const title = `N(2)-R(1)-ID(${nodeId})-CODEC(Plain).csv`;
      const training = decoder
        .decode(each.get(`T-${title}`))
        .trimEnd()
        .split("\n");
      expect(training[0]).toBe(
        "Time,Epochs,Batches,in,Total,Loss,accuracy,BytesSent,BytesReceived",
      );
      const rows = training.slice(1).map((line) => line.split(","));
      expect(rows.map((row) => row.slice(1, 5).map(Number))).toEqual([
        [1, 1, 1, 1],
        [2, 1, 1, 2],
        [3, 1, 1, 3],
      ]);
      for (const row of rows) {
        expect(row).toHaveLength(9);
        expect(Number(row[5])).toBeGreaterThan(0);
        expect(row[6]).toBe("");
      }
      // A block of 3 floats to the peer at each step, and something around it.
      expect(Number(rows[2]![7])).toBeGreaterThan(3 * 4 * 3);
      const evaluations = decoder
        .decode(each.get(`E-${title}`))
        .trimEnd()
        .split("\n");
      expect(evaluations[0]).toBe("Time,Epochs,Total,Loss,accuracy");
      expect(evaluations.slice(1).map((line) => line.split(",")[2])).toEqual(["1", "2", "3"]);
    });
  });

  it("evaluates over the whole test set, the last batch filled up or not", async () => {
    const initial = await initialWeights();
    const { test } = tinyDataset();
    let sum = 0;
    for (let row = 0; row < test.count; row++) {
      const [x0, x1] = [test.inputs[2 * row]!, test.inputs[2 * row + 1]!];
      sum += (initial[0]! * x0 + initial[1]! * x1 + initial[2]! - test.targets[row]!) ** 2;
    }
    const { outcome } = await trained(
      testJob({ codec: "Plain", nodeCount: 1, learningRate: 1e-30, stepCount: 1 }),
    );
    expect(outcome.records[0]!.summary!.evaluation!.loss).toBeCloseTo(sum / test.count, 5);
  });

  it("stops at a loss that is no number, and says node, step and learning rate", async () => {
    const dataset = tinyDataset(() => 1e30);
    const { outcome } = await trained(testJob({ codec: "Plain", dataset, learningRate: 0.25 }));
    expect(outcome.error?.code).toBe("NOT_FINITE");
    expect(outcome.error?.message).toMatch(
      /loss of step 0: expected finite numbers, got Infinity; node [01], sgd with learning rate 0.25/,
    );
    expect(outcome.records.map(({ state }) => state)).toEqual(["failed", "failed"]);
  });

  it("stops all nodes when one ends on weights that are no numbers, and names that one", async () => {
    const { outcome } = await trained(testJob({ codec: "Poisoner", stepCount: 6 }));
    expect(outcome.error?.code).toBe("NOT_FINITE");
    expect(outcome.error?.details).toMatchObject({ node: 1 });
    expect(outcome.records.map(({ state }) => state)).toEqual(["failed", "failed"]);
  });

  it("says which codec sent to a node that does not exist", async () => {
    const { outcome } = await trained(testJob({ codec: "Misaddresser" }));
    expect(outcome.error?.code).toBe("CODEC_INVALID_TARGET");
    expect(outcome.error?.message).toContain("Misaddresser");
  });
});
