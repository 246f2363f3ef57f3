import { describe, expect, it } from "vitest";
import { didYouMean, nearMiss } from "./near-miss.js";

describe("nearMiss", () => {
  it.each([
    ["nod-count", ["node-count", "codec"], "node-count"],
    ["codc", ["node-count", "codec"], "codec"],
    ["mnits", ["mnist", "digits", "simlin"], "mnist"],
    ["MYCOMCTRL", ["MyComCtrl"], "MyComCtrl"],
    ["x", ["xy", "abc"], "xy"],
    ["plian", ["dummy", "plain"], "plain"],
  ])("takes %s for the nearest of %j", (word, candidates, expected) => {
    expect(nearMiss(word, candidates)).toBe(expected);
  });

  it.each([
    ["frobnicate", ["node-count", "codec"]],
    ["codec", []],
    ["", ["codec"]],
    ["ab", ["xy"]],
  ])("finds nothing near %j in %j", (word, candidates) => {
    expect(nearMiss(word, candidates)).toBeUndefined();
  });

  it("takes the first of two that are as near", () => {
    expect(nearMiss("plan", ["plain", "plane"])).toBe("plain");
  });
});

describe("didYouMean", () => {
  it("is silent without a candidate", () => {
    expect(didYouMean(undefined)).toBe("");
    expect(didYouMean("plain")).toBe("; did you mean `plain`?");
  });
});
