import type { JobSpec } from "@psgd/runtime";
import { expect, it } from "vitest";
import { echoLines } from "./echo.js";

it("echoes a job in the seed's own words", () => {
  const spec = {
    nodeCount: 2,
    batchSize: 64,
    redundancy: 1,
    codec: "tutorial_codec.myComCtrl",
    optimizer: "parallel_sgd",
    sync: "ssgd",
    staleness: 3,
    learningRate: 0.05,
    epochs: 1,
    blockAssignment: "iid",
    serverCodec: undefined,
  } as unknown as JobSpec;
  // As the seed prints them.
  expect(echoLines(spec)).toEqual([
    "--node_count <node count 2>",
    "--batch_size <batch size 64>",
    "--redundancy <r 1>",
    "--codec <communication codec and protocol tutorial_codec.myComCtrl>",
    "--optimizer <optimizer for model training parallel_sgd>",
    "--parallel_sgd <parallel_computing stochastic gradient descent synchronization type ssgd>",
    "--learn_rate <learn rate for GD algorithm 0.05>",
    "--epochs <training epochs 1>",
    "--block_assignment <block assignment strategy iid>",
    "--server_codec <parameter server codec sgq>",
  ]);
});
