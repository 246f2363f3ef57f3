import { describeCodec } from "@psgd/harness";
import { describe, expect, it } from "vitest";
import { SparseLoCo } from "./sparse_loco.js";
import { Cluster } from "./testing/cluster.js";

describe("SparseLoCo", () => {
  it("sends the largest values of its way, and the decayed rest later", () => {
    const cluster = new Cluster({
      ...{ codec: SparseLoCo, nodeCount: 2, size: 4, stepCount: 100 },
      parameters: { local_steps: 1, fraction: 0.25, decay: 0.5 },
    });
    // Both nodes move alike, one value at a time is sent: as the largest of its bucket it is sent exactly.
    const first = cluster.runStep(0, () => [-8, -4, -2, -1]);
    expect([...first[0]!]).toEqual([-8, 0, 0, 0]);
    // Ways are then 0, 4, 2, 1 from the new place, and half of 4, 2, 1 is left over: 0, 6, 3, 1.5.
    const second = cluster.runStep(1, () => [-8, -4, -2, -1]);
    expect([...second[0]!]).toEqual([-8, -6, 0, 0]);
    // Left over: 0, 0, 1.5, 0.75; the ways are −2 (gone too far), 2, 1.
    const third = cluster.runStep(2, () => [-8, -4, -2, -1]);
    expect([...third[0]!]).toEqual([-8, -6, -3.5, 0]);
  });

  it.each([
    [{ outer_momentum: 1 }, "parameter `outer_momentum`: expected a number from 0, below 1, got 1"],
    [{ outer_rate: -1 }, "parameter `outer_rate`: expected a number from 0, got -1"],
    [{ local_steps: 0 }, "parameter `local_steps`: expected a whole number from 1, got 0"],
  ])("refuses parameters that cannot be: %o", (parameters, text) => {
    expect(() => new Cluster({ codec: SparseLoCo, nodeCount: 2, parameters })).toThrow(text);
  });
});

describeCodec("sparse_loco.SparseLoCo", SparseLoCo, {
  parameters: { local_steps: 1, fraction: 0.5, decay: 1 },
  seedCount: 60,
});
