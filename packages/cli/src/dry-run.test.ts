import { PARAMETER_SERVER, SILENT } from "@psgd/core";
import type { NodeRecord } from "@psgd/runtime";
import { pack } from "@psgd/wire";
import { describe, expect, it } from "vitest";
import yargs from "yargs";
import { buildJob } from "./build-job.js";
import { bandwidthOf, dryRun, dryRunReport, type DryRun } from "./dry-run.js";
import { jobRequestOf, withJobOptions } from "./job-options.js";
import { trafficOf, trafficReport } from "./traffic-report.js";
import { workDirectory } from "./work-directory.fixture.js";

/** 1 Gbit/s, and a millisecond for each message. */
const NETWORK = { bytesPerSec: 125e6, latencyMs: 1 };

async function tried(...args: string[]): Promise<DryRun> {
  const model = args.includes("--model") ? [] : ["--model", "logistic"];
  const line = ["--dataset", "digits", ...model, ...args];
  const parsed = await withJobOptions(yargs(line)).exitProcess(false).strict().parseAsync();
  return dryRun(await buildJob(jobRequestOf(parsed), { log: SILENT }), NETWORK);
}

describe("a dry run", () => {
  it("counts what plain.Plain sends: everything to everybody, n (n − 1) times", async () => {
    const run = await tried("--codec", "plain.Plain", "--node-count", "3");
    expect(run.messagesPerStep).toBe(6);
    expect(run.fp32BytesPerStep).toBe(6 * 4 * run.parameters);
    // As a node of a job packs it.
    const message = {
      ...{ variableId: 0, step: 0, version: 0, baseVersion: 0 },
      content: [0, new Float32Array(run.parameters), 0],
    };
    expect(run.bytesPerStep).toBe(6 * pack({ type: "block", message }).length);
    expect(run.links.map(({ from, to }) => `${from} ${to}`).sort()).toEqual([
      "node 0 node 1",
      "node 0 node 2",
      "node 1 node 0",
      "node 1 node 2",
      "node 2 node 0",
      "node 2 node 1",
    ]);
    expect(run.longestChain).toBe(1);
    expect(run.waits[0]).toBe(
      "A node hears from 2 others; no message of a step waits for another.",
    );
    // Two vectors in, two out, at once; one way through the network.
    const expected = (1000 * run.bytesPerStep) / 3 / 125e6 + 1;
    expect(run.communicationMsPerStep).toBeCloseTo(expected, 6);
    expect(run.blocks).toEqual([[0], [1], [2]]);
  });

  it("passes on what codecs say, such as how fast a graph mixes, and names its network", async () => {
    const run = await tried("--codec", "d_psgd", "--node-count", "4");
    expect(run.said).toEqual([
      expect.stringMatching(/ring of 4 nodes: \d+ bytes per step, distance .* in 0\.9 steps/),
    ]);
    expect(dryRunReport(run)).toMatch(
      /about \S+ ms, at 1000 Mbit\/s and 1 ms\n[^]*ring of 4 nodes/,
    );
  });

  it("tries the job's own steps: rounds of local steps end where they will, not with the trial", async () => {
    const [n, localSteps, steps] = [2, 150, 936];
    const run = await tried(
      ...["--codec", "fedavg.FedAvgClient", "--node-count", String(n), "--batch-size", "1"],
      ...["--epochs", "1000", "--steps", String(steps), "--param", `local_steps=${localSteps}`],
    );
    // One more round ends with the job.
    const rounds = Math.floor(steps / localSteps) + 1;
    expect([run.steps, run.triedSteps, run.stepsRepeated]).toEqual([steps, steps, 0]);
    expect(run.stepsWithMessages).toBe(rounds);
    expect(run.messagesPerStep * steps).toBeCloseTo(2 * n * rounds, 6);
    const overhead = run.bytesPerStep * steps - 2 * n * rounds * 4 * run.parameters;
    expect(overhead).toBeGreaterThan(0);
    expect(overhead).toBeLessThan(2 * n * rounds * 120);
    expect(run.fp32BytesPerStep).toBe(2 * n * 4 * run.parameters);
    expect(run.longestChain).toBe(2);
    expect(run.loads.map(({ node }) => node)).toContain("parameter server");
    expect(run.waits.join(" ")).toContain(
      "hears from the parameter server only; in a step up to 2 messages wait for one another.",
    );
  });

  it("goes on until it has seen two exchanges, the last of which may be that of the job's end", async () => {
    const [n, steps] = [2, 702];
    const run = await tried(
      ...["--codec", "diloco.DiLoCo", "--node-count", String(n), "--batch-size", "1"],
      ...["--epochs", "1000", "--steps", String(steps), "--param", "local_steps=500"],
    );
    expect([run.triedSteps, run.stepsWithMessages]).toEqual([steps, 2]);
    // fp16, and fewer than 120 bytes around it.
    const messages = 2 * n * (n - 1);
    const overhead = run.bytesPerStep * steps - messages * 2 * run.parameters;
    expect(overhead).toBeGreaterThan(0);
    expect(overhead).toBeLessThan(messages * 120);
  });

  it("reckons over whole rounds where it does not try the whole job", async () => {
    const [n, localSteps] = [30, 7];
    const run = await tried(
      ...["--codec", "fedavg.FedAvgClient", "--node-count", String(n), "--batch-size", "1"],
      ...["--epochs", "1000", "--steps", "5000", "--param", `local_steps=${localSteps}`],
    );
    expect(run.triedSteps).toBeLessThan(run.steps);
    expect(run.stepsRepeated % localSteps).toBe(0);
    expect(run.messagesPerStep * localSteps).toBeCloseTo(2 * n, 6);
    expect(dryRunReport(run)).toMatch(
      /^steps +5000 per node, \d+ tried, \d+ of them with messages, \d+ stand for the rest$/m,
    );
    expect(dryRunReport(run)).toContain(`\nReckoned from the first ${run.triedSteps} steps: `);
  });

  describe("of a codec with a warm-up", () => {
    /** Sends `first` values to the other node in each step of the warm-up, then one value. */
    const warmingUp = (
      first: number,
    ): string => `import { Codec, netEncapsulation } from "@psgd/core";
      export class WarmingUp extends Codec {
        static carries = "gradients";
        receiveBlocks() { this.setResult(this.own); }
        updateBlocks({ content, step }) {
          this.own = content;
          const isWarmUp = step < this.settings.param("warmup_steps", 0);
          return netEncapsulation(1 - this.nodeId, new Float32Array(isWarmUp ? ${first} : 1));
        }
      }`;
    const triedWith = async (first: number, warmupSteps: number): Promise<DryRun> => {
      await using work = await workDirectory();
      const file = await work.write("warming-up.js", warmingUp(first));
      const param = `warmup_steps=${warmupSteps}`;
      return await tried(
        ...["--codec", file, "--node-count", "2", "--batch-size", "1", "--epochs", "1000"],
        ...["--steps", "5000", "--param", param],
      );
    };

    it("goes on until it has seen what comes after, and counts each as long as it is", async () => {
      const run = await triedWith(1000, 300);
      expect(run.triedSteps).toBeGreaterThan(300);
      expect(run.triedSteps).toBeLessThan(run.steps);
      const overhead = run.bytesPerStep * 5000 - 2 * 4 * (300 * 1000 + 4700 * 1);
      expect(overhead).toBeGreaterThan(0);
      expect(overhead).toBeLessThan(2 * 5000 * 120);
      expect(run.notReached).toEqual({});
    });

    it("says so where that would take too long", async () => {
      const run = await triedWith(4e6, 300);
      expect(run.triedSteps).toBeLessThan(300);
      expect(run.notReached).toEqual({ warmup_steps: 300 });
      expect(dryRunReport(run)).toContain("\nNOT SEEN: what is sent from step 300 on, where");
    });
  });

  it("tells of a hundred nodes in as many rows as of a few", async () => {
    const few = await tried("--codec", "plain.Plain", "--node-count", "2", "--steps", "1");
    const nodes = Array.from({ length: 100 }, (_, node) => node);
    const report = dryRunReport({
      ...few,
      blocks: nodes.map((node) => [node]),
      loads: nodes.map((node) => ({ ...few.loads[0]!, node: `node ${node}` })),
      links: nodes.slice(1).map((node) => ({ ...few.links[0]!, to: `node ${node}` })),
    });
    expect(report).toMatch(/^99 links, each, as node 0 to node 1 +31\.5 kB$/m);
    expect(report).toMatch(/^node 0 to node 99, each +1 +/m);
    expect(report.match(/^.*node \d.*$/gm)).toHaveLength(2);
  });

  it("counts the hops of a ring", async () => {
    const run = await tried("--codec", "ring_allreduce.RingAllReduce", "--node-count", "5");
    expect(run.longestChain).toBe(8);
    expect(run.links.length).toBe(5);
    // Eight ways through the network, each with a fifth of the model in and out of every node.
    const hop = run.bytesPerStep / 5 / 8;
    expect(hop - (4 * run.parameters) / 5).toBeLessThan(120);
    expect(run.communicationMsPerStep).toBeCloseTo(8 * ((1000 * hop) / 125e6 + 1), 6);
    expect(dryRunReport(run)).toContain("node 4 to node 0");
  });

  it("lets what a server answers follow what it was sent", async () => {
    const run = await tried("--codec", "naive_ps.PSClient", "--node-count", "3", "--psgd", "asgd");
    // Three vectors into the server, then three out of it.
    expect(run.communicationMsPerStep).toBeCloseTo((1000 * run.bytesPerStep) / 125e6 + 2, 6);
  });

  it("runs the codec that a map gives each tensor", async () => {
    await using work = await workDirectory();
    const map = '{ "output/kernel": "naive_ps.PSClient", "*": "plain.Plain" }';
    const file = await work.write("map.json", map);
    const run = await tried("--codec-map", file, "--node-count", "3");
    // The kernel goes to the server and back, three times; the bias from each to each.
    const kernel = 10 * 784;
    const bias = 10;
    expect(run.parameters).toBe(kernel + bias);
    expect(run.messagesPerStep).toBe(3 * 2 + 3 * 2);
    expect(run.fp32BytesPerStep).toBe(6 * 4 * kernel + 6 * 4 * bias);
    expect(run.waits[0]).toContain("hears from 3 others, the parameter server among them; in a");
    expect(run.bytesPerStep - run.fp32BytesPerStep).toBeGreaterThan(0);
    expect(run.bytesPerStep - run.fp32BytesPerStep).toBeLessThan(12 * 120);
  });

  it("weighs what a codec keeps while the job runs", async () => {
    const run = await tried(
      ...["--codec", "naive_ps.PSClient", "--server-codec", "naive_ps.ParaAveragingServer"],
      ...["--node-count", "3", "--optimizer", "parameter_averaging"],
    );
    const server = run.loads.find(({ node }) => node === "parameter server")!;
    // The last weights of each of three nodes.
    expect(server.codecBytes! - 3 * 4 * run.parameters).toBeGreaterThan(0);
    expect(server.codecBytes! - 3 * 4 * run.parameters).toBeLessThan(3 * 40);
  });

  it("counts the operations of a step, and a memory of the optimizer for each block", async () => {
    const batch = 100;
    const job = [
      "--codec",
      "plain.Plain",
      "--node-count",
      "4",
      "--redundancy",
      "2",
      "--steps",
      "2",
    ];
    const run = await tried(
      ...[...job, "--model", "mlp", "--batch-size", String(batch)],
      ...["--gradient-descent", "adam"],
    );
    // Each two nodes have one in common: three of six.
    const blocks = 3;
    expect(run.blocks.map(({ length }) => length)).toEqual([blocks, blocks, blocks, blocks]);
    // Forward, and the gradients of weights and inputs, 2 · in · out operations each; those of the first inputs are not needed.
    const [first, second, third] = [784 * 128, 128 * 128, 128 * 10];
    const flops = blocks * batch * (6 * (first + second + third) - 2 * first);
    const vector = 4 * run.parameters;
    for (const { flopsPerStep, optimizerBytes, modelBytes } of run.loads) {
      // Activations, the loss and what is done to each weight are less than 3 % of it.
      expect(flopsPerStep).toBeGreaterThan(flops);
      expect(flopsPerStep).toBeLessThan(1.03 * flops);
      // Two vectors a block, and their names.
      expect(optimizerBytes).toBeGreaterThan(blocks * 2 * vector);
      expect(optimizerBytes).toBeLessThan(blocks * (2 * vector + 200));
      expect(modelBytes).toBe((4 + blocks) * vector);
    }
    expect(dryRunReport(run)).toMatch(/^node 3 +2 4 5 +15\d +3\.31 MB +2\.84 MB /m);
  });

  it("does not know what a codec keeps whose state cannot be packed", async () => {
    await using work = await workDirectory();
    const source = `import { Codec } from "@psgd/core";
      export class Closed extends Codec {
        static carries = "gradients";
        updateBlocks(block) { this.setResult(block.content); }
        exportState() { return () => {}; }
      }`;
    const run = await tried("--codec", await work.write("closed.js", source), "--node-count", "2");
    expect(run.loads.map(({ codecBytes }) => codecBytes)).toEqual([undefined, undefined]);
    expect(dryRunReport(run)).toMatch(/^node 1 .* unknown /m);
  });

  it("takes no more steps than there is time for", async () => {
    const run = await tried("--codec", "plain.Plain", "--node-count", "30", "--batch-size", "4");
    expect(run.steps).toBeGreaterThan(run.triedSteps);
    expect(run.triedSteps).toBe(4);
    expect(run.messagesPerStep).toBeCloseTo(30 * 29, 6);
  });

  it("fails as the codec would", async () => {
    await expect(
      tried("--codec", "topk.TopK", "--node-count", "2", "--param", "fraction=2"),
    ).rejects.toThrow("fraction of topK: expected a number above 0 and at most 1, got 2");
  });
});

describe("a bandwidth", () => {
  it.each([
    ["1Gbit", 125e6],
    ["100 Mbit/s", 12.5e6],
    ["56kbit", 7000],
    ["2.5gbit", 312.5e6],
  ])("%s is %d bytes per second", (text, bytes) => {
    expect(bandwidthOf(text)).toBe(bytes);
  });

  it.each(["fast", "1", "0Gbit", "-1Mbit", "1GB"])("is not %s", (text) => {
    expect(bandwidthOf(text)).toBeUndefined();
  });
});

describe("the traffic of a job", () => {
  const spec = { nodeCount: 2, redundancy: 1, blockAssignment: "iid" };
  const record = (nodeId: number, ledger: object[]): NodeRecord =>
    ({ nodeId, spec, summary: { steps: 10, ledger } }) as unknown as NodeRecord;
  const sent = (peer: number, tensor: string, bytes: number, messages = 10): object => ({
    ...{ codec: "C", tensor, peer, direction: "sent", messages, bytes, values: 100 },
  });
  const ofNone = (tensor: string, bytes: number): object => ({
    ...{ codec: "", tensor, peer: 1, direction: "sent", messages: 0, bytes, values: 0 },
  });

  it("is summed up by codec, tensor and link, beside sending everything in each step", () => {
    const traffic = trafficOf([
      record(0, [
        ...[sent(1, "w", 500), sent(1, "b", 40, 1), sent(PARAMETER_SERVER, "k", 1)],
        ...[ofNone("overhead", 7), ofNone("control", 3)],
      ]),
      record(1, [sent(0, "w", 500), { ...sent(0, "w", 999), direction: "received" }]),
    ]);
    // Both nodes, 100 values, ten steps, however many messages there were.
    const fp32Bytes = 2 * 4 * 100 * 10;
    expect(traffic).toEqual({
      steps: 10,
      codecs: [
        { codec: "C", tensor: "w", messages: 20, bytes: 1000, fp32Bytes },
        { codec: "C", tensor: "b", messages: 1, bytes: 40, fp32Bytes },
        { codec: "C", tensor: "k", messages: 10, bytes: 1, fp32Bytes },
      ],
      links: [
        { from: 0, to: 1, bytes: 540 },
        { from: 1, to: 0, bytes: 500 },
        { from: 0, to: PARAMETER_SERVER, bytes: 1 },
      ],
      overheadBytes: 10,
    });
    const report = trafficReport(traffic);
    expect(report).toMatch(/C +w +20 +1000 +100 +12.5 %/);
    expect(report).toMatch(/C +b +1 +40 +4 +0.500 %/);
    expect(report).toMatch(/node 0 to parameter server +1 +0/);
    expect(report).toContain("\nOf fp32: beside sending every block in fp32 in each step,");
  });

  it("is beside a vector from each worker to the server, and beside one back, each for who sends it", () => {
    const up = [0, 1].map((node) => record(node, [sent(PARAMETER_SERVER, "", 400, 1)]));
    const down = [0, 1].map((node) => ({ ...sent(node, "", 300, 1), codec: "S" }));
    const { codecs } = trafficOf([record(PARAMETER_SERVER, down), ...up]);
    const fp32Bytes = 2 * 4 * 100 * 10;
    expect(codecs).toEqual([
      { codec: "S", tensor: "", messages: 2, bytes: 600, fp32Bytes },
      { codec: "C", tensor: "", messages: 2, bytes: 800, fp32Bytes },
    ]);
    // One class on both sides stands for both ways.
    const same = trafficOf([record(PARAMETER_SERVER, [sent(0, "", 300, 1)]), ...up]);
    expect(same.codecs[0]!.fp32Bytes).toBe(2 * fp32Bytes);
  });

  it("is not told where there is none", () => {
    expect(trafficReport(trafficOf([record(0, [])]))).toBe("");
  });
});
