import { expect, it } from "vitest";
import { roundsTo } from "./rounds-to.js";

it.each<[string, number[], number]>([
  ["the line between two rounds", [0.5, 0.9, 0.98], 2.875],
  ["the best so far, where the curve falls", [0.96, 0.9, 0.98], 2.5],
  ["a round that meets it exactly", [0.9, 0.97], 2],
  ["the first round", [0.99, 0.5], 1],
  ["never", [0.9, 0.96], Infinity],
])("counts rounds to a target by %s", (_, accuracies, rounds) => {
  expect(roundsTo(0.97, accuracies)).toBeCloseTo(rounds, 12);
});
