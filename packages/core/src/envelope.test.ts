import { describe, expect, expectTypeOf, it } from "vitest";
import { netEncapsulation, type NetEncapsulation } from "./envelope.js";
import { PARAMETER_SERVER, SUBMITTER, nodeName } from "./ids.js";

describe("netEncapsulation", () => {
  it("takes one node, or any iterable of nodes", () => {
    expect(netEncapsulation(PARAMETER_SERVER, 1).targets).toEqual([-2]);
    expect(netEncapsulation([0, 2], 1).targets).toEqual([0, 2]);
    expect(netEncapsulation(new Set([3, 1]), 1).targets).toEqual([3, 1]);
    expect(netEncapsulation(Uint8Array.of(1, 2), 1).targets).toEqual([1, 2]);
    const generated = (function* () {
      yield 4;
    })();
    expect(netEncapsulation(generated, 1).targets).toEqual([4]);
    expect(netEncapsulation([], 1).targets).toEqual([]);
  });

  it("does not follow a list of targets that changes later", () => {
    const targets = [0, 1];
    const envelope = netEncapsulation(targets, 1);
    targets.push(2);
    expect(envelope.targets).toEqual([0, 1]);
  });

  it("keeps the content as it is, and its type", () => {
    const content: [number, Float32Array] = [1, new Float32Array(2)];
    const envelope = netEncapsulation(0, content);
    expect(envelope.content).toBe(content);
    expectTypeOf(envelope).toEqualTypeOf<NetEncapsulation<[number, Float32Array]>>();
  });

  it("leaves a wrong target for the runtime to name, instead of taking it apart", () => {
    expect(netEncapsulation("foo" as unknown as number, 1).targets).toEqual(["foo"]);
  });
});

describe("nodeName", () => {
  it("says ids the way messages print them", () => {
    expect([0, 12, PARAMETER_SERVER, SUBMITTER].map(nodeName)).toEqual([
      "node 0",
      "node 12",
      "parameter server",
      "submitter",
    ]);
  });
});
