import { PARAMETER_SERVER, isPsgdError } from "@psgd/core";
import type { SyncPolicy, Verdict } from "@psgd/sgd";
import { describe, expect, it } from "vitest";

/** What a sync policy promises beyond what all do. */
export interface SyncPolicyPromise {
  /** Whether a message may only be handed over in its own step. */
  readonly isSynchronous: boolean;
  /** How far workers may be apart, if the policy sees to it. */
  readonly maxLead: number | undefined;
}

const STEPS = [0, 1, 2, 3, 7, 255, 256, 257, 1000];

/** What every sync policy does, as tests; `create` makes it for four nodes. */
export function describeSyncPolicy(
  name: string,
  create: (options: { redundancy: number }) => SyncPolicy,
  { isSynchronous, maxLead }: SyncPolicyPromise,
): void {
  describe.each([1, 2])(`sync policy ${name} with redundancy %i`, (redundancy) => {
    const policy = create({ redundancy });
    const judge = (
      messageStep: number,
      step: number,
      { isWaiting = true, from = 1, stepsAhead = messageStep > step ? 1 : 0 } = {},
    ): Verdict | "refuse" => {
      try {
        return policy.judge({ step: messageStep, from, stepsAhead }, 0, { step, isWaiting });
      } catch (error) {
        if (isPsgdError(error, "OUT_OF_STEP")) return "refuse";
        throw error;
      }
    };
    const everyCase = function* (): Generator<[number, number, boolean, number]> {
      for (const messageStep of STEPS)
        for (const step of STEPS)
          for (const isWaiting of [true, false])
            for (const from of [1, PARAMETER_SERVER]) yield [messageStep, step, isWaiting, from];
    };

    it("is called what it is registered as", () => {
      expect(policy.name).toBe(name);
    });

    it("says how far workers may be apart", () => {
      expect(policy.maxLead).toBe(maxLead);
    });

    it("hands over what comes for the step that waits", () => {
      for (const step of STEPS) {
        expect(judge(step, step)).toBe("deliver");
        expect(judge(step, step, { from: PARAMETER_SERVER })).toBe("deliver");
      }
    });

    it("decides by the message and the position alone: the same again, whatever it was asked between", () => {
      const verdicts = () =>
        [...everyCase()].map(([messageStep, step, isWaiting, from]) =>
          judge(messageStep, step, { isWaiting, from }),
        );
      expect(verdicts()).toEqual(verdicts());
    });

    it("never drops what is of this step or a later one", () => {
      for (const [messageStep, step, isWaiting, from] of everyCase()) {
        if (messageStep >= step)
          expect(judge(messageStep, step, { isWaiting, from })).not.toBe("late");
      }
    });

    it("never refuses what the parameter server says, nor what is one step ahead", () => {
      for (const [messageStep, step, isWaiting] of everyCase()) {
        expect(judge(messageStep, step, { isWaiting, from: PARAMETER_SERVER })).not.toBe("refuse");
        expect(judge(step + 1, step, { isWaiting })).not.toBe("refuse");
      }
    });

    if (isSynchronous) {
      it("hands over in the message's own step only, and only while it waits", () => {
        for (const [messageStep, step, isWaiting, from] of everyCase()) {
          const isDelivered = judge(messageStep, step, { isWaiting, from }) === "deliver";
          expect(isDelivered).toBe(messageStep === step && isWaiting);
        }
      });

      it("drops what comes after its step, and keeps what comes early", () => {
        for (const step of STEPS) {
          for (const isWaiting of [true, false]) {
            if (step > 0) expect(judge(step - 1, step, { isWaiting })).toBe("late");
            expect(judge(step + 1, step, { isWaiting })).toBe("hold");
          }
        }
      });

      it("refuses a peer that has sent for more steps ahead than it can have completed", () => {
        // Of four nodes that wait for each other the first is at most three steps ahead of the last.
        const lead = redundancy === 1 ? 3 : 256;
        for (const isWaiting of [true, false]) {
          expect(judge(10 + lead, 10, { stepsAhead: lead, isWaiting })).toBe("hold");
          expect(judge(11 + lead, 10, { stepsAhead: lead + 1, isWaiting })).toBe("refuse");
        }
      });

      it("does not count steps in which a peer sends nothing", () => {
        expect(judge(1000, 10, { stepsAhead: 1 })).toBe("hold");
      });
    } else {
      it("hands everything over on arrival that may come", () => {
        for (const [messageStep, step, isWaiting, from] of everyCase()) {
          // Between two steps a node is not yet counted as being in the next one.
          const isTooFar =
            maxLead !== undefined && from !== PARAMETER_SERVER && messageStep > step + maxLead + 1;
          const expected = isTooFar ? "refuse" : "deliver";
          expect(judge(messageStep, step, { isWaiting, from })).toBe(expected);
        }
      });
    }
  });
}
