import { PARAMETER_SERVER, type WorkerInfo } from "@psgd/core";
import { describe, expect, it } from "vitest";
import { PROTOCOL } from "./job.js";
import { placeNodes, type WorkerFile } from "./placement.js";

function worker(name: string, options: Partial<WorkerInfo> = {}): WorkerInfo {
  const { slots = 1 } = options;
  return {
    workerId: `${name}-id`,
    name,
    protocol: PROTOCOL,
    version: "1",
    address: `worker.${name}`,
    hosts: [`${name}.lan`],
    engines: [],
    labels: {},
    slots,
    freeSlots: slots,
    jobs: [],
    ...options,
  };
}

const file = (Worker: readonly string[], PS?: string): WorkerFile => ({ PS, Worker });

function placed(...args: Parameters<typeof placeNodes>): [number, string][] {
  return [...placeNodes(...args)].map(([node, { name }]) => [node, name]);
}

describe("placing nodes where the engine is", () => {
  const workers = [
    worker("a", { engines: ["onnx"] }),
    worker("b", { engines: ["onnx", "wasm"], slots: 2 }),
  ];

  it("takes only workers that have it, but for the parameter server", () => {
    expect(placed([0, 1, PARAMETER_SERVER], workers, undefined, "wasm")).toEqual([
      [0, "b"],
      [1, "b"],
      [PARAMETER_SERVER, "a"],
    ]);
    expect(placed([0], workers, file(["b"]), "wasm")).toEqual([[0, "b"]]);
    expect(placed([0], workers, file(["b"], "a"), "wasm")).toEqual([[0, "b"]]);
  });

  it("refuses where too few have it, and says who has not", () => {
    expect(() => placeNodes([0, 1, 2], workers, undefined, "wasm")).toThrow(
      "COMMIT_REJECTED: workers: expected 3 free slots with engine wasm (node 0, node 1, node 2), got 2; " +
        "answering: a (1 of 1 slots free, no engine wasm), b (2 of 2 slots free);",
    );
  });

  it("refuses a worker the file names if it has not", () => {
    expect(() => placeNodes([0, 1], workers, file(["a", "b"]), "wasm")).toThrow(
      "COMMIT_REJECTED: workers: a (node 0) has no engine wasm; `psgd doctor` there says why; answering: a",
    );
  });
});

describe("placing nodes on idle workers", () => {
  it("takes a machine each while there are enough", () => {
    const workers = [worker("a", { slots: 2 }), worker("b", { slots: 2 })];
    expect(placed([0, 1, 2], workers, undefined)).toEqual([
      [0, "a"],
      [1, "b"],
      [2, "a"],
    ]);
  });

  it("takes the least loaded first, and none that is full", () => {
    const workers = [
      worker("full", { slots: 1, freeSlots: 0 }),
      worker("half", { slots: 4, freeSlots: 2 }),
      worker("idle"),
    ];
    expect(placed([0, 1], workers, undefined)).toEqual([
      [0, "idle"],
      [1, "half"],
    ]);
  });

  it("refuses too few slots, and says who answers and how busy they are", () => {
    const workers = [worker("a"), worker("b", { slots: 2, freeSlots: 0 })];
    expect(() => placeNodes([0, 1, PARAMETER_SERVER], workers, undefined)).toThrow(
      "COMMIT_REJECTED: workers: expected 3 free slots (node 0, node 1, parameter server), got 1; " +
        "answering: a (1 of 1 slots free), b (0 of 2 slots free); start more with `worker`, or see `psgd nodes`",
    );
    expect(() => placeNodes([0], [], undefined)).toThrow("answering: nobody");
  });

  it("does not count workers of another version, and says which they speak", () => {
    const workers = [worker("old", { protocol: PROTOCOL + 1, slots: 8 })];
    expect(() => placeNodes([0], workers, undefined)).toThrow(
      `got 0; answering: old (8 of 8 slots free, protocol ${PROTOCOL + 1} instead of ${PROTOCOL})`,
    );
  });
});

describe("placing nodes by worker.json", () => {
  const workers = [worker("a"), worker("b"), worker("c")];

  it("goes by name, id and address, in the order of the file", () => {
    expect(placed([0, 1, PARAMETER_SERVER], workers, file(["c", "a.lan"], "b-id"))).toEqual([
      [0, "c"],
      [1, "a"],
      [PARAMETER_SERVER, "b"],
    ]);
  });

  it("takes no more of the file than the job has nodes", () => {
    expect(placed([0], workers, file(["b", "nobody"]))).toEqual([[0, "b"]]);
  });

  it("takes a free one of those on the same machine", () => {
    const twins = [
      worker("x1", { hosts: ["x"], freeSlots: 0 }),
      worker("x2", { hosts: ["x"] }),
      worker("x3", { hosts: ["x"] }),
    ];
    expect(placed([0, 1], twins, file(["x", "x"]))).toEqual([
      [0, "x2"],
      [1, "x3"],
    ]);
  });

  it("takes a busy one if it is named, whose refusal says with what it is busy", () => {
    expect(placed([0], [worker("a", { freeSlots: 0 })], file(["a"]))).toEqual([[0, "a"]]);
  });

  it("lists every fault at once", () => {
    expect(() => placeNodes([0, 1, 2, PARAMETER_SERVER], workers, file(["a", "z"]))).toThrow(
      "COMMIT_REJECTED: workers: no worker answers as z (node 1); the file names 2 workers, too few for node 2; " +
        "the job has a parameter server, but the file has no `PS`; answering: a (1 of 1 slots free)",
    );
  });
});
