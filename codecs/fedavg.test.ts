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

  describe("with a fraction of the clients", () => {
    const half = { local_steps: 2, fraction: 0.5 };

    it("draws the same clients on all nodes and the server, as many as the fraction says", () => {
      for (const [nodeCount, fraction, expected] of [
        [100, 0.1, 10],
        [7, 0.5, 4],
        [4, 0.01, 1],
        [3, 1, 3],
      ]) {
        const { nodes, settings } = federation({ local_steps: 1, fraction }, { nodeCount });
        const drawn = new Set<string>();
        for (let step = 0; step < 20; step++) {
          const training = nodes.map((codec) =>
            settings.nodes.filter((node) => codec.roleIn(step, node) === "train").join(),
          );
          expect(new Set(training).size).toBe(1);
          expect(training[0].split(",")).toHaveLength(expected);
          drawn.add(training[0]);
        }
        expect(drawn.size > 1).toBe(expected < nodeCount);
      }
    });

    it("averages those of a round only, and hands the mean to the next ones, in every order", () => {
      // Two rounds of two steps; the two of four nodes that train add 1 and 2 to the node's model in each step.
      const orders = inEveryOrder((pick) => {
        const cluster = federation(half, { nodeCount: 4, stepCount: 4 });
        const models = [0, 0, 0, 0].map(() => [0, 0, 0]);
        const clientsOf = (round: number): readonly number[] =>
          cluster.settings.sampleNodes(round, 2);
        for (let step = 0; step < 4; step++) {
          const clients = clientsOf(step < 2 ? 0 : 1);
          const results = cluster.runStep(
            step,
            ({ node }) => models[node].map((value) => value + 1 + clients.indexOf(node)),
            // All orders of the first round's end; one of the others.
            step === 1 ? pick : undefined,
          );
          results.forEach((result, node) => {
            if (result !== undefined) models[node] = [...result];
          });
          // After a round both clients have gone 2 and 4 from the global model: it moves by 3.
          if (step % 2 === 0) continue;
          const getModel = step === 3 ? cluster.settings.nodes : [...clients, ...clientsOf(1)];
          const expected = models.map((_, node) =>
            getModel.includes(node) ? 1.5 * (step + 1) : 0,
          );
          expect(models).toEqual(expected.map((value) => [value, value, value]));
        }
      });
      expect(orders).toBeGreaterThan(5);
    });

    it("lets the server wait for the clients of the round, and refuse others", () => {
      const { server, settings } = federation(half, { nodeCount: 4 });
      const clients = settings.sampleNodes(0, 2);
      const others = settings.nodes.filter((node) => !clients.includes(node));
      const weights = (value: number): Float32Array => new Float32Array(3).fill(value);
      expect(() => answerOf(server, [others[0], weights(9), 1, 1])).toThrow(/^WIRE_MALFORMED: /);
      expect(answerOf(server, [clients[1], weights(5), 1, 1])).toBeUndefined();
      expect(answerOf(server, [clients[1], weights(4), 1, 1])).toBeUndefined();
      expect(answerOf(server, [others[1], 1])).toBeUndefined();
      expect(answerOf(server, [clients[0], weights(2), 1, 1])).toEqual({
        targets: [...clients, others[1]],
        content: [PARAMETER_SERVER, weights(3), 1],
      });
      // Who asks late has it at once, also for a step within the next round.
      for (const step of [1, 2]) {
        expect(answerOf(server, [others[0], step])).toEqual({
          targets: [others[0]],
          content: [PARAMETER_SERVER, weights(3), step],
        });
      }
    });

    it("answers with the first weights before the first round has ended", () => {
      const { server } = federation(half, { nodeCount: 4 });
      expect(answerOf(server, [0, 0])?.content).toEqual([PARAMETER_SERVER, new Float32Array(3), 0]);
    });

    it("gives all nodes the model in the job's last step, also within a round", () => {
      const cluster = federation({ local_steps: 3, fraction: 0.4 }, { nodeCount: 5, stepCount: 5 });
      for (let step = 0; step < 4; step++) cluster.runStep(step, own);
      const results = cluster.runStep(4, own).map((result) => [...result!].join());
      expect(new Set(results).size).toBe(1);
    });

    it("sends the bytes that its header says", () => {
      const cluster = federation(half, { nodeCount: 8, stepCount: 1000 });
      let expected = 0;
      for (let step = 0; step < 20; step++) {
        cluster.runStep(step, own);
        if (step % 2 === 0) continue;
        const [clients, next] = [0, 1].map((later) =>
          cluster.settings.sampleNodes((step - 1) / 2 + later, 4),
        );
        const asking = next.filter((node) => !clients.includes(node));
        expected += 8 * 3 * 4 + 4 * 3 * asking.length;
      }
      expect(cluster.sentVectorBytes).toBe(expected);
    });

    it("goes on from a checkpoint of the server that knows who asked", () => {
      const [first, second] = [1, 2].map(() => federation(half, { nodeCount: 4 }).server!);
      const clients = first.settings.sampleNodes(0, 2);
      const asking = first.settings.nodes.find((node) => !clients.includes(node))!;
      answerOf(first, [clients[0], new Float32Array(3), 1, 1]);
      answerOf(first, [asking, 1]);
      second.importState(structuredClone(first.exportState()));
      const answer = answerOf(second, [clients[1], new Float32Array(3).fill(2), 1, 1]);
      expect(answer?.targets).toEqual([...clients, asking]);
      expect(answer?.content).toEqual([PARAMETER_SERVER, new Float32Array(3).fill(1), 1]);
    });
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
    [{ fraction: 0 }, "parameter `fraction`: expected a number more than 0 and at most 1, got 0"],
    [{ fraction: 1.5 }, "got 1.5"],
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
      [3, 0],
      [0, -1],
      [3, weights, 1, 0],
      [0, new Float32Array(4), 1, 0],
      [0, weights, -1, 0],
      [0, weights, 1, 0.5],
      // Steps that the job of 100 has not.
      [0, weights, 1, 1e9],
      [0, 1e9],
    ]) {
      expect(() => answerOf(server, malformed)).toThrow(/^(WIRE_MALFORMED|SHAPE_MISMATCH): /);
    }
    expect(() => answerOf(nodes[0], [PARAMETER_SERVER, weights])).toThrow(/a list of 3/);
    expect(() => answerOf(nodes[0], [PARAMETER_SERVER, "w", 1])).toThrow(/global weights/);
  });
});
