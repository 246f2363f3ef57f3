import { PARAMETER_SERVER } from "@psgd/core";
import type { SentMessage } from "@psgd/harness";
import { expect, it } from "vitest";
import { trialTraffic } from "./trial-traffic.js";

const CLOCK = -1;

/** Two nodes up, and the server down to both, in each of some steps: 10 bytes a message in step 0, 20 in the others. */
function rounds(...steps: number[]): SentMessage[] {
  return steps.flatMap((step) =>
    [0, 1].flatMap((node) => {
      const message = { variableId: 0, step, bytes: step === 0 ? 10 : 20 };
      return [
        { ...message, from: node, to: PARAMETER_SERVER, depth: 1 },
        { ...message, from: PARAMETER_SERVER, to: node, depth: 2 },
      ];
    }),
  );
}

function bytes(messages: SentMessage[], steps: number, stepCount: number): [number, number] {
  const { links, stepsCounted } = trialTraffic(messages, { steps, stepCount });
  return [links.reduce((sum, link) => sum + link.bytes, 0), stepsCounted];
}

it("counts all of a job that was tried to its end", () => {
  expect(bytes(rounds(0, 5, 9), 10, 10)).toEqual([40 + 80 + 80, 10]);
});

it("counts from the first exchange, without it, to the last, of one that was not", () => {
  expect(bytes(rounds(0, 5, 10), 13, 100)).toEqual([80 + 80, 10]);
});

it("takes the steps up to the only exchange for a period", () => {
  expect(bytes(rounds(5), 9, 100)).toEqual([80, 6]);
});

it("counts all steps where nothing was sent", () => {
  expect(bytes([], 9, 100)).toEqual([0, 9]);
});

it("does not take clocks for exchanges, though they are sent", () => {
  const clocks = Array.from({ length: 9 }, (_, step): SentMessage => ({
    ...{ from: 0, to: 1, variableId: CLOCK, step, bytes: 3, depth: 1 },
  }));
  const messages = [...clocks, ...rounds(2, 5)];
  expect(bytes(messages, 9, 100)).toEqual([80 + 3 * 3, 3]);
  const { stages, stepsWithMessages } = trialTraffic(messages, { steps: 9, stepCount: 100 });
  expect([stages, stepsWithMessages]).toEqual([2, 2]);
});

it("lets the stages of a step follow one another, each as long as its busiest end", () => {
  const traffic = trialTraffic(rounds(1, 2), { steps: 4, stepCount: 4 });
  // Twice: 40 bytes into the server, then 40 out of it.
  expect(traffic).toMatchObject({ longestChain: 2, stages: 4, busiestBytes: 160 });
});
