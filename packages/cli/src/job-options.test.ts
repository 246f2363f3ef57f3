import { describe, expect, it } from "vitest";
import yargs from "yargs";
import { jobRequestOf, withJobOptions } from "./job-options.js";
import type { JobRequest } from "./build-job.js";

async function requestOf(...line: string[]): Promise<JobRequest> {
  return jobRequestOf(await withJobOptions(yargs(line)).exitProcess(false).strict().parseAsync());
}

describe("the options of a job", () => {
  it("have the seed's defaults", async () => {
    expect(await requestOf()).toEqual({
      codec: "plain.Plain",
      serverCodec: undefined,
      perTensor: false,
      codecMap: undefined,
      nodeCount: 1,
      redundancy: 1,
      blockAssignment: "iid",
      batchSize: 64,
      epochs: 1,
      maxSteps: undefined,
      seed: 1,
      sync: "ssgd",
      staleness: 3,
      syncTimeoutMs: 10_000,
      codecTimeoutMs: 30_000,
      optimizer: undefined,
      gradientDescent: "momentum",
      learningRate: undefined,
      parameters: {},
      model: "mlp",
      dataset: "mnist",
      nonIid: false,
      inputSize: undefined,
      engine: "onnx",
      freeze: [],
      targetAccuracy: undefined,
    });
  });

  it.each<[string[], Partial<JobRequest>]>([
    [["--node-count", "2"], { nodeCount: 2 }],
    [["--node_count", "2"], { nodeCount: 2 }],
    [["-n", "2"], { nodeCount: 2 }],
    [["--batch-size=32"], { batchSize: 32 }],
    [["--batch_size", "32"], { batchSize: 32 }],
    [["-b", "32"], { batchSize: 32 }],
    [["-r", "2"], { redundancy: 2 }],
    [["-C", "a.B"], { codec: "a.B" }],
    [["-O", "psgd"], { optimizer: "parallel_sgd" }],
    [["--optimizer", "parallel_sgd"], { optimizer: "parallel_sgd" }],
    [["-E", "3"], { epochs: 3 }],
    [["-D", "digits"], { dataset: "digits" }],
    [["-I", "784"], { inputSize: 784 }],
    [["-m", "linear"], { model: "linear" }],
    [["--psgd", "asgd"], { sync: "asgd" }],
    [["--psgd", "ssp", "--staleness", "0"], { sync: "ssp", staleness: 0 }],
    [["--parallel_sgd", "asgd"], { sync: "asgd" }],
    [["--learn-rate", ".05"], { learningRate: 0.05 }],
    [["--learn_rate", "5e-2"], { learningRate: 0.05 }],
    [["--block-assignment", "duplicate"], { blockAssignment: "duplicate" }],
    [["--block_assignment", "duplicate"], { blockAssignment: "duplicate" }],
    [["--server-codec", "a.B"], { serverCodec: "a.B" }],
    [["--server_codec", "sgq"], { serverCodec: undefined }],
    [["--server-codec", "null"], { serverCodec: undefined }],
    [["--gradient_descent", "adam"], { gradientDescent: "adam" }],
    [["--non-iid"], { nonIid: true }],
    [["--non_iid"], { nonIid: true }],
    [["--image_classification"], {}],
    [["--per_tensor"], { perTensor: true }],
    [["--codec_map", "m.json"], { codecMap: "m.json" }],
    [["--sync_timeout", "0.5"], { syncTimeoutMs: 500 }],
    [["--codec-timeout", "2"], { codecTimeoutMs: 2_000 }],
    [["--seed", "-3"], { seed: -3 }],
    [["--steps", "5"], { maxSteps: 5 }],
  ])("%j", async (line, expected) => {
    expect(await requestOf(...line)).toMatchObject(expected);
  });

  it("lists every value that cannot be used, at once", async () => {
    const line = "--node_count 0 --batch-size 1.5 -r two --epochs -1 --learn_rate NaN --seed 0.5";
    const more = "--sync-timeout 0 --codec_timeout 1e7 --steps 0 --input 0 --param x --param =1";
    await expect(requestOf(...`${line} ${more}`.split(" "))).rejects.toThrow(
      "SETTINGS_INVALID: " +
        [
          "`--node-count`: expected a whole number from 1, got 0",
          "`--redundancy`: expected a whole number from 1, got no number",
          "`--batch-size`: expected a whole number from 1, got 1.5",
          "`--epochs`: expected a whole number from 1, got -1",
          "`--steps`: expected a whole number from 1, got 0",
          "`--seed`: expected a whole number, got 0.5",
          "`--sync-timeout`: expected seconds, more than 0, got 0",
          "`--codec-timeout`: expected seconds, more than 0, got 10000000",
          "`--learn-rate`: expected a number more than 0, got no number",
          '`--param`: expected NAME=VALUE, got "x"',
          '`--param`: expected NAME=VALUE, got "=1"',
          "`--input`: expected a whole number from 1, got 0",
          "see `--help`",
        ].join("; "),
    );
  });

  it("reads a parameter as number, truth value or text", async () => {
    const line = ["a=1", "b=-2.5e3", "c=true", "d=false", "e=text", "f=", "g=x=y", "h= ", "i=0x10"];
    const { parameters } = await requestOf(...line.flatMap((entry) => ["--param", entry]));
    expect(parameters).toEqual({
      a: 1,
      b: -2500,
      c: true,
      d: false,
      e: "text",
      f: "",
      g: "x=y",
      h: " ",
      i: 16,
    });
  });

  it("keeps a parameter of the name of something else a parameter", async () => {
    const { parameters } = await requestOf("--param", "__proto__=1", "--param", "constructor=2");
    expect(Object.getPrototypeOf(parameters)).toBe(Object.prototype);
    expect(Object.entries(parameters)).toContainEqual(["constructor", 2]);
  });
});
