import { PARAMETER_SERVER } from "@psgd/core";
import { describe, expect, it } from "vitest";
import { SYNC_POLICIES, synchronousSgd } from "./sync-policy.js";

// What every policy does is tested by the contract in test/contracts; here is what only one does.

describe("synchronous SGD", () => {
  it("says who is out of step, by how much is allowed, and what to do (PX-05)", () => {
    const policy = SYNC_POLICIES.ssgd({ nodeCount: 2, redundancy: 1, staleness: 3 });
    expect(() =>
      policy.judge({ step: 17, from: 3, stepsAhead: 2 }, 2, { step: 14, isWaiting: true }),
    ).toThrow(
      "OUT_OF_STEP: message of step 17: expected messages of at most 1 steps ahead, got it from node 3; node 2 is at step 14; " +
        "these are of 2; let the codec wait for its peers, or use `--psgd asgd`",
    );
  });

  it("does not bind workers that only talk to the parameter server (PX-07)", () => {
    const policy = synchronousSgd(1);
    const position = { step: 2, isWaiting: true };
    expect(policy.judge({ step: 50, from: PARAMETER_SERVER, stepsAhead: 9 }, 0, position)).toBe(
      "hold",
    );
    expect(policy.judge({ step: 1, from: PARAMETER_SERVER, stepsAhead: 0 }, 0, position)).toBe(
      "late",
    );
  });
});
