import type { CodecClass } from "@psgd/core";
import { runCodecHarness, type CodecHarnessOptions } from "@psgd/harness";
import { expect, it } from "vitest";
import { DummyCodec } from "./dummy.js";
import { FedAvgClient, FedAvgServer } from "./fedavg.js";
import { GradDiffPS, PSClient, ParaAveragingServer } from "./naive_ps.js";
import { Plain } from "./plain.js";
import { MyComCtrl } from "./tutorial_codec.js";

/** As their headers say: what they need, and how alike they leave the nodes. */
const RUNS: [CodecClass, Partial<CodecHarnessOptions>][] = [
  [DummyCodec, { agreement: "none" }],
  [DummyCodec, { agreement: "none", sync: "asgd", redundancy: 2 }],
  [Plain, {}],
  [Plain, { redundancy: 2 }],
  [Plain, { nodeCount: 7, perTensor: true }],
  [MyComCtrl, {}],
  [MyComCtrl, { redundancy: 2 }],
  [FedAvgClient, { agreement: "every-round", parameters: { local_steps: 1 } }],
  [FedAvgClient, { serverCodec: FedAvgServer, parameters: { local_steps: 3 }, redundancy: 2 }],
  [FedAvgClient, { sync: "asgd", parameters: { local_steps: 3 } }],
  [PSClient, { sync: "asgd", serverCodec: GradDiffPS }],
  [PSClient, { sync: "asgd", serverCodec: ParaAveragingServer, perTensor: true }],
];

it.each(RUNS)("%o passes the harness with %o", async (codec, options) => {
  const report = await runCodecHarness({ codec, schedules: 10, ...options });
  expect(report.rounds).toBe(10);
});
