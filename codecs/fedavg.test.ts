import { PARAMETER_SERVER, isPsgdError, type CodecParameters } from "@psgd/core";
import { describe, expect, it } from "vitest";
import { FedAvgClient, FedAvgServer } from "./fedavg.js";
import { Cluster, inEveryOrder, shuffled, answerOf } from "./testing/cluster.js";

function federation(
  parameters: CodecParameters,
  { nodeCount = 3, stepCount = 100, redundancy = 1 } = {},
): Cluster {
  return new Cluster({
    codec: FedAvgClient,
    server: FedAvgServer,
    nodeCount,
    redundancy,
    stepCount,
    parameters,
  });
}

const own = ({ node, step }: { node: number; step: number }): number[] => [node, step, 2 ** node];

describe("FedAvg", () => {
  it("trains locally for 150 steps unless told otherwise, then averages", () => {
    const cluster = federation({}, { stepCount: 400 });
    for (let step = 0; step < 300; step++) {
      const results = cluster.runStep(step, own).map((result) => [...result!]);
      const isEndOfRound = step === 149 || step === 299;
      expect(results).toEqual(
        [0, 1, 2].map((node) =>
          isEndOfRound ? [1, step, Math.fround(7 / 3)] : own({ node, step }),
        ),
      );
    }
    expect(cluster.sent.length).toBe(2 * (3 + 3));
  });

  it("averages in the job's last step, so that all nodes end on one model", () => {
    const cluster = federation({ local_steps: 4 }, { stepCount: 6 });
    const joined = [0, 1, 2, 3, 4, 5].filter((step) => {
      const results = cluster.runStep(step, own).map((result) => [...result!].join());
      return new Set(results).size === 1;
    });
    expect(joined).toEqual([3, 5]);
  });

  it("gives all 3 nodes the same mean, in every order of computing and arriving", () => {
    inEveryOrder((pick) => {
      const cluster = federation({ local_steps: 1 });
      for (const result of cluster.runStep(0, own, pick)) {
        expect([...result!]).toEqual([1, 0, Math.fround(7 / 3)]);
      }
    });
  });

  it("weighs clients by the samples of the round if told so", () => {
    const cluster = federation({ local_steps: 2, weighting: "samples" });
    for (let round = 0; round < 2; round++) {
      cluster.runStep(2 * round, own);
      // Node k computes k + 1 samples in each step.
      for (const result of cluster.runStep(2 * round + 1, own, shuffled(`${round}`))) {
        const expected = [(0 * 1 + 1 * 2 + 2 * 3) / 6, 2 * round + 1, (1 + 2 * 2 + 4 * 3) / 6];
        expect([...result!]).toEqual(expected.map(Math.fround));
      }
      const counts = cluster.sent
        .filter(({ to }) => to === PARAMETER_SERVER)
        .slice(-3)
        .map(({ content }) => (content as unknown[])[2]);
      expect(counts.sort()).toEqual([2, 4, 6]);
    }
  });

  it("counts a client once per round, however often it sends", () => {
    const cluster = federation({ local_steps: 1 });
    cluster.update(0, 0, 0, [3, 3, 3]);
    const [first] = cluster.sent;
    for (let again = 0; again < 3; again++) cluster.deliver(first);
    expect(cluster.sent.length).toBe(1);
    cluster.update(1, 1, 0, [6, 6, 6]);
    cluster.update(2, 2, 0, [0, 0, 0]);
    for (const message of cluster.sent.slice()) cluster.deliver(message);
    const answers = cluster.sent.filter(({ from }) => from === PARAMETER_SERVER);
    expect(answers.map(({ to }) => to)).toEqual([0, 1, 2]);
    for (const answer of answers) cluster.deliver(answer);
    expect(cluster.nodes.map((codec) => [...codec.takeResult()])).toEqual(
      [0, 1, 2].map(() => [3, 3, 3]),
    );

    // Late copies, of contributions and of answers, leave the next round alone.
    for (const message of cluster.sent.slice()) cluster.deliver(message);
    expect(cluster.sent.length).toBe(6);
    expect(cluster.nodes.some((codec) => codec.hasResult)).toBe(false);
    for (const result of cluster.runStep(1, own)) {
      expect([...result!]).toEqual([1, 1, Math.fround(7 / 3)]);
    }
  });

  it("never averages weights of two rounds", () => {
    const cluster = federation({ local_steps: 1 }, { nodeCount: 2 });
    cluster.update(0, 0, 0, [9, 9, 9]);
    cluster.deliver(cluster.sent[0]);
    cluster.update(1, 1, 1, [4, 4, 4]);
    cluster.deliver(cluster.sent[1]);
    expect(cluster.sent.length).toBe(2);
    cluster.update(0, 0, 1, [2, 2, 2]);
    cluster.deliver(cluster.sent[2]);
    expect([...(cluster.sent[3].content as [number, Float32Array])[1]]).toEqual([3, 3, 3]);
  });

  it("takes the mean of its own blocks for its model where a node has several", () => {
    const cluster = federation({ local_steps: 2 }, { nodeCount: 4, redundancy: 2 });
    const perBlock = ({ block }: { block: number }): number[] => [block, 6, 1];
    // By iid, node k holds blocks {0,1,2}, {0,3,4}, {1,3,5}, {2,4,5} of 6.
    const local = cluster.runStep(0, perBlock).map((result) => result![0]);
    expect(local).toEqual([1, 7 / 3, 3, 11 / 3].map(Math.fround));
    for (const result of cluster.runStep(1, perBlock)) expect([...result!]).toEqual([2.5, 6, 1]);
  });

  it("sends the bytes that its header says", () => {
    const cluster = federation({ local_steps: 5 }, { nodeCount: 4 });
    for (let step = 0; step < 10; step++) cluster.runStep(step, own);
    expect(cluster.sentVectorBytes).toBe((8 * 3 * 4 * 10) / 5);
  });

  it("goes on from a checkpoint within a round", () => {
    const original = federation({ local_steps: 2, weighting: "samples" });
    original.runStep(0, own);
    const resumed = federation({ local_steps: 2, weighting: "samples" });
    for (const [node, codec] of original.nodes.entries()) {
      resumed.nodes[node].importState(structuredClone(codec.exportState()));
    }
    original.update(0, 0, 1, own({ node: 0, step: 1 }));
    original.deliver(original.sent[0]);
    resumed.server!.importState(structuredClone(original.server!.exportState()));
    for (const node of [1, 2]) resumed.update(node, node, 1, own({ node, step: 1 }));
    for (const message of resumed.sent.slice()) resumed.deliver(message);
    const [, mean] = resumed.sent[2].content as [number, Float32Array];
    expect([...mean]).toEqual([8 / 6, 1, 17 / 6].map(Math.fround));
  });

  it.each([
    [{ local_steps: 0 }, "parameter `local_steps`: expected a whole number from 1, got 0"],
    [{ local_steps: 1.5 }, "got 1.5"],
    [{ weighting: "size" }, 'parameter `weighting`: expected "uniform" or "samples", got "size"'],
  ])("refuses parameters that cannot be: %o", (parameters, text) => {
    let thrown: unknown;
    try {
      federation(parameters);
    } catch (error) {
      thrown = error;
    }
    expect(isPsgdError(thrown, "SETTINGS_INVALID")).toBe(true);
    expect(String(thrown)).toContain(text);
  });

  it("refuses malformed content", () => {
    const { server, nodes } = federation({});
    const weights = new Float32Array(3);
    for (const malformed of [
      null,
      [0, weights],
      [3, weights, 1, 0],
      [0, new Float32Array(4), 1, 0],
      [0, weights, -1, 0],
      [0, weights, 1, 0.5],
    ]) {
      expect(() => answerOf(server, malformed)).toThrow(/^(WIRE_MALFORMED|SHAPE_MISMATCH): /);
    }
    expect(() => answerOf(nodes[0], [PARAMETER_SERVER, weights])).toThrow(/a list of 3/);
    expect(() => answerOf(nodes[0], [PARAMETER_SERVER, "w", 1])).toThrow(/global weights/);
  });
});
