import { describe, expect, it } from "vitest";
import { requireCount, requireId, requireList, requireStep, requireVector } from "./content.js";

describe("checks of received content", () => {
  it("let through what has the expected form", () => {
    const content: unknown = [1, new Float32Array(2), 7];
    const [id, vector, count] = requireList(content, 3);
    requireId(id, [0, 1], "node id");
    requireVector(vector, 2, "weights");
    requireCount(count, "step");
    // The checks are assertions: the parts have types from here on.
    expect(id + vector.length + count).toBe(10);
  });

  it.each([
    [
      () => requireList(undefined, 2),
      "WIRE_MALFORMED: content of a message: expected a list of 2, got undefined",
    ],
    [() => requireList([1], 2), "expected a list of 2, got a list of 1"],
    [() => requireList({ length: 2 }, 2), "got a value of type Object"],
    [() => requireList("ab", 2), "got a text of 2 characters"],
    [() => requireList(new Float32Array(2), 2), "got a value of type Float32Array"],
    [() => requireList(Object.create(null), 2), "got a value of type object"],
    [
      () => requireVector([1, 2], 2, "weights of node 1"),
      "WIRE_MALFORMED: weights of node 1: expected a Float32Array, got a list of 2",
    ],
    [() => requireVector(new Float64Array(2), 2, "w"), "got a value of type Float64Array"],
    [
      () => requireVector(new Float32Array(3), 2, "w"),
      "SHAPE_MISMATCH: w: expected 2 values, got 3",
    ],
    [
      () => requireId(3, [0, 1, 2], "node id"),
      "WIRE_MALFORMED: node id: expected one of 3 ids from 0, got 3",
    ],
    [() => requireId("0", [0, 1, 2], "node id"), "got a text of 1 characters"],
    [() => requireId(0.5, [0, 1, 2], "node id"), "got 0.5"],
    [
      () => requireCount(-1, "step"),
      "WIRE_MALFORMED: step: expected a whole number from 0, got -1",
    ],
    [
      () => requireStep(1e9, { stepCount: 100 }),
      "WIRE_MALFORMED: step: expected a whole number from 0 to 99, got 1000000000",
    ],
    [() => requireStep(100, { stepCount: 100 }, "step of node 3"), "step of node 3: expected"],
    [() => requireStep(0.5, { stepCount: 100 }), "got 0.5"],
    [() => requireStep(-1, { stepCount: 100 }), "got -1"],
    [() => requireCount(NaN, "step"), "got NaN"],
    [() => requireCount(5n, "step"), "got 5"],
  ])("refuse what has not %#", (attempt, text) => {
    expect(attempt).toThrow(text);
  });

  it("do not print what a hostile peer made long", () => {
    expect(() => requireId("x".repeat(1e6), [0], "node id")).toThrow(/^.{0,120}$/);
  });
});
