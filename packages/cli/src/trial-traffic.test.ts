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

function bytes(messages: SentMessage[], steps: number, settledAt = 0): [number, number] {
  const { links, stepsRepeated } = trialTraffic(messages, { steps, stepCount: 100, settledAt });
  const sum = links.reduce((total, link) => total + link.bytes, 0);
  // Weights are fractions.
  return [Number(sum.toFixed(6)), stepsRepeated];
}

it("counts all of a job that was tried to its end", () => {
  expect(bytes(rounds(0, 5, 9), 100)).toEqual([40 + 80 + 80, 0]);
});

it("lets what comes after the first exchange, up to the last, stand for the rest of one that was not", () => {
  // 80 bytes in each five of the 99 steps after the first.
  expect(bytes(rounds(0, 5, 10), 13)).toEqual([40 + (80 * 99) / 5, 10]);
});

it("counts a warm-up once, as long as it is", () => {
  const [all, repeated] = bytes([...rounds(0, 1, 2, 3, 4), ...rounds(9, 14, 19)], 21, 5);
  expect(repeated).toBe(10);
  expect(all).toBeCloseTo(40 + 4 * 80 + 80 + (80 * 90) / 5, 9);
});

it("takes the steps up to the only exchange for a period", () => {
  expect(bytes(rounds(4), 9)).toEqual([(80 * 100) / 5, 5]);
});

it("counts nothing where nothing was sent", () => {
  expect(bytes([], 9)).toEqual([0, 9]);
});

it("does not take clocks for exchanges, though they are sent", () => {
  const clocks = Array.from({ length: 9 }, (_, step): SentMessage => ({
    ...{ from: 0, to: 1, variableId: CLOCK, step, bytes: 3, depth: 1 },
  }));
  const messages = [...clocks, ...rounds(2, 5)];
  // Three clocks and a round in the first three steps, and in each three of the 97 after them.
  expect(bytes(messages, 9)[0]).toBeCloseTo((3 * 3 + 80) * (1 + 97 / 3), 5);
  const trial = { steps: 9, stepCount: 100, settledAt: 0 };
  const { stages, stepsWithMessages } = trialTraffic(messages, trial);
  expect(stepsWithMessages).toBe(2);
  expect(stages).toBeCloseTo(2 + (2 * 97) / 3, 9);
});

it("lets the stages of a step follow one another, each as long as its busiest end", () => {
  const traffic = trialTraffic(rounds(1, 2), { steps: 4, stepCount: 4, settledAt: 0 });
  // Twice: 40 bytes into the server, then 40 out of it.
  expect(traffic).toMatchObject({ longestChain: 2, stages: 4, busiestBytes: 160 });
});
