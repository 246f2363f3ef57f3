import { PARAMETER_SERVER } from "@psgd/core";
import { describe, expect, it } from "vitest";
import { GradDiffPS, PSClient, ParaAveragingServer } from "./naive_ps.js";
import { Cluster, inEveryOrder, shuffled, answerOf } from "./testing/cluster.js";

const content = ({ node, step }: { node: number; step: number }): number[] => [2 ** node, step, 1];

describe("PSClient with GradDiffPS", () => {
  it("brings every gradient to every node exactly once, in every order", () => {
    inEveryOrder((pick) => {
      const cluster = new Cluster({ codec: PSClient, server: GradDiffPS, nodeCount: 3 });
      const first = cluster.runStep(0, content, pick).map((result) => result![0]);
      // Who is answered k-th has got the first k gradients: its own among them.
      const answered = cluster.sent.filter(({ from }) => from === PARAMETER_SERVER);
      let sum = 0;
      for (const { to } of answered) {
        sum += 2 ** to;
        expect(first[to]).toBe(sum);
      }
      const second = cluster.runStep(1, () => [0, 0, 0]).map((result) => result![0]);
      for (const node of [0, 1, 2]) expect(first[node] + second[node]).toBe(7);
    });
  });

  it("gives all nodes the server's model once they have been answered last", () => {
    const cluster = new Cluster({ codec: PSClient, server: GradDiffPS, nodeCount: 4 });
    const moved = [0, 0, 0, 0];
    for (let step = 0; step < 10; step++) {
      for (const [node, result] of cluster.runStep(step, content, shuffled(`${step}`)).entries()) {
        moved[node] += result![0];
      }
    }
    const rest = cluster.runStep(10, () => [0, 0, 0]);
    expect(moved.map((sum, node) => sum + rest[node]![0])).toEqual([150, 150, 150, 150]);
  });

  it("knows a node it has never heard of", () => {
    const { server } = new Cluster({ codec: PSClient, server: GradDiffPS, nodeCount: 2 });
    answerOf(server, [0, Float32Array.of(1, 2, 3)]);
    expect(answerOf(server, [1, Float32Array.of(1, 1, 1)])).toEqual({
      targets: [1],
      content: [PARAMETER_SERVER, Float32Array.of(2, 3, 4)],
    });
  });

  it("sends one message per step where a node has several blocks", () => {
    const cluster = new Cluster({
      codec: PSClient,
      server: GradDiffPS,
      nodeCount: 4,
      redundancy: 2,
    });
    cluster.runStep(0, ({ block }) => [block, 0, 0]);
    const sums = cluster.sent.filter(({ to }) => to === PARAMETER_SERVER);
    expect(sums.map(({ content: c }) => (c as [number, Float32Array])[1][0])).toEqual(
      [1, 7 / 3, 3, 11 / 3].map(Math.fround),
    );
  });

  it("sends the bytes that its header says", () => {
    const cluster = new Cluster({ codec: PSClient, server: GradDiffPS, nodeCount: 5, size: 9 });
    cluster.runStep(0, () => new Float32Array(9));
    expect(cluster.sentVectorBytes).toBe(8 * 9 * 5);
  });

  it("goes on from a checkpoint, which later messages do not change", () => {
    const { server: original } = new Cluster({ codec: PSClient, server: GradDiffPS, nodeCount: 2 });
    const { server: resumed } = new Cluster({ codec: PSClient, server: GradDiffPS, nodeCount: 2 });
    answerOf(original, [0, Float32Array.of(1, 1, 1)]);
    const state = original!.exportState();
    answerOf(original, [1, Float32Array.of(8, 8, 8)]);
    resumed!.importState(state);
    const answer = answerOf(resumed, [0, Float32Array.of(2, 2, 2)]);
    expect(answer).toEqual({ targets: [0], content: [PARAMETER_SERVER, Float32Array.of(2, 2, 2)] });
    expect(answerOf(resumed, [1, Float32Array.of(0, 0, 0)])).toEqual({
      targets: [1],
      content: [PARAMETER_SERVER, Float32Array.of(3, 3, 3)],
    });
  });
});

describe("PSClient with ParaAveragingServer", () => {
  it("answers with the mean of the last weights of the nodes it knows", () => {
    const { server } = new Cluster({ codec: PSClient, server: ParaAveragingServer, nodeCount: 3 });
    const answer = (node: number, value: number): unknown =>
      answerOf(server, [node, Float32Array.of(value, value, value)]);
    const of = (node: number, value: number): unknown => ({
      targets: [node],
      content: [PARAMETER_SERVER, Float32Array.of(value, value, value)],
    });
    expect(answer(2, 6)).toEqual(of(2, 6));
    expect(answer(0, 2)).toEqual(of(0, 4));
    expect(answer(1, 1)).toEqual(of(1, 3));
    expect(answer(2, 0)).toEqual(of(2, 1));
  });

  it("answers with the same bits whatever order the weights came in", () => {
    const outcomes = new Set<string>();
    for (let seed = 0; seed < 30; seed++) {
      const cluster = new Cluster({ codec: PSClient, server: ParaAveragingServer, nodeCount: 5 });
      const values = [2 ** 60, 1, -(2 ** 60), 3, 0.1].map((value) => [value, value, value]);
      cluster.runStep(0, ({ node }) => values[node], shuffled(`seed ${seed}`));
      const [last] = cluster.runStep(1, ({ node }) => values[node], shuffled(`again ${seed}`));
      outcomes.add([...last!].join());
    }
    expect(outcomes.size).toBe(1);
  });

  it("goes on from a checkpoint", () => {
    const cluster = () =>
      new Cluster({ codec: PSClient, server: ParaAveragingServer, nodeCount: 2 });
    const original = cluster().server!;
    answerOf(original, [0, Float32Array.of(2, 2, 2)]);
    const resumed = cluster().server!;
    resumed.importState(original.exportState());
    expect(answerOf(resumed, [1, Float32Array.of(4, 4, 4)])).toEqual({
      targets: [1],
      content: [PARAMETER_SERVER, Float32Array.of(3, 3, 3)],
    });
  });
});

describe.each([GradDiffPS, ParaAveragingServer])("%o and its client", (server) => {
  it("refuse malformed content", () => {
    const cluster = new Cluster({ codec: PSClient, server, nodeCount: 2 });
    for (const malformed of [
      undefined,
      [0],
      [2, new Float32Array(3)],
      [-2, new Float32Array(3)],
      [0, new Float32Array(4)],
      [0, new Uint8Array(3)],
    ]) {
      expect(() => answerOf(cluster.server, malformed)).toThrow(
        /^(WIRE_MALFORMED|SHAPE_MISMATCH): /,
      );
    }
    expect(() => answerOf(cluster.nodes[0], [PARAMETER_SERVER, new Float32Array(2)])).toThrow(
      "answer of the parameter server: expected 3 values, got 2",
    );
  });
});
