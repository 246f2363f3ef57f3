import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { StreamingDiLoCo } from "./streaming_diloco.js";
import { Cluster } from "./testing/cluster.js";

describe("StreamingDiLoCo", () => {
  const shapes = [[4], [2], [3], [2], [5]];

  it("gives each fragment its turn, evenly spread, and all of them in the last step", () => {
    const cluster = new Cluster({
      ...{ codec: StreamingDiLoCo, nodeCount: 2, shapes, stepCount: 32 },
      parameters: { local_steps: 12, fragments: 3 },
    });
    const turns: string[] = [];
    for (let step = 0; step < 32; step++) {
      cluster.runStep(step, ({ node }) => new Float32Array(16).fill(node));
      const first = cluster.sent.splice(0).at(0);
      if (first === undefined) continue;
      const [, , packets] = first.content as [number, number, [null, Uint8Array][]];
      // A norm, and half a byte for each value.
      turns.push(`${step}: ${packets.map(([, bytes]) => 2 * (bytes.length - 4)).join("+")}`);
    }
    // Tensors 0 and 3, 1 and 4, 2: 6, 7 and 3 values, rounded up to whole bytes.
    expect(turns).toEqual([
      "3: 4",
      "7: 8",
      "11: 6",
      "15: 4",
      "19: 8",
      "23: 6",
      "27: 4",
      "31: 6+8+4",
    ]);
  });

  it("leaves what is not in its turn as each node has it", () => {
    const cluster = new Cluster({
      ...{ codec: StreamingDiLoCo, nodeCount: 2, shapes: [[2], [2]], stepCount: 100 },
      parameters: { local_steps: 2, fragments: 2, outer_rate: 1, outer_momentum: 0 },
    });
    // −1 and 1 are levels: nothing is left to chance.
    const results = cluster.runStep(0, ({ node }) => [node, node, 2 * node - 1, 2 * node - 1]);
    expect(results.map((result) => [...result!])).toEqual([
      [0, 0, 0, 0],
      [1, 1, 0, 0],
    ]);
  });

  it.each([
    [{ outer_momentum: 1 }, "parameter `outer_momentum`: expected a number from 0, below 1, got 1"],
    [{ outer_rate: -1 }, "parameter `outer_rate`: expected a number from 0, got -1"],
    [{ local_steps: 0 }, "parameter `local_steps`: expected a whole number from 1, got 0"],
  ])("refuses parameters that cannot be: %o", (parameters, text) => {
    expect(() => new Cluster({ codec: StreamingDiLoCo, nodeCount: 2, parameters })).toThrow(text);
  });
});

describeCodec("streaming_diloco.StreamingDiLoCo", StreamingDiLoCo, {
  parameters: { local_steps: 2, fragments: 2, outer_rate: 1, outer_momentum: 0 },
  seedCount: 60,
});
