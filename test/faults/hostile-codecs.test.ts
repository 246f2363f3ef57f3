import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startCluster, type Cluster } from "../support/cluster.js";

const FILE = fileURLToPath(new URL("../fixtures/hostile_codecs.ts", import.meta.url));

/** What is wrong does not depend on the size of the model, and small ones are there at once. */
const SMALL = ["--dataset", "simlin", "--model", "linear"];

interface Case {
  readonly codec: string;
  readonly exit: number;
  /** What the one error says, in this order: what was expected, what came, where. */
  readonly says: readonly string[];
}

const CASES: readonly Case[] = [
  { codec: "Throws", exit: 13, says: ["CODEC_THREW: updateBlocks threw: boom", "node 1, step 3"] },
  { codec: "NeverAnswers", exit: 13, says: ["CODEC_TIMEOUT: updateBlocks", "2000 ms", "node 1"] },
  { codec: "NeverReturns", exit: 13, says: ["CODEC_TIMEOUT", "2000 ms", "node 1", "endless loop"] },
  { codec: "SetsNoResult", exit: 14, says: ["SYNC_TIMEOUT: result of step 3", "500 ms", "node 1"] },
  { codec: "ReturnsNonsense", exit: 13, says: ["CODEC_INVALID_RETURN", "got number 42", "node 1"] },
  { codec: "WrongTarget", exit: 13, says: ["CODEC_INVALID_TARGET", "0..1, got 7", "node 1"] },
  { codec: "Unpackable", exit: 13, says: ["PAYLOAD_UNPACKABLE", "update", "a function", "node 1"] },
  { codec: "NotFinite", exit: 13, says: ["NOT_FINITE", "finite numbers, got NaN", "node 1"] },
  { codec: "WrongLength", exit: 13, says: ["SHAPE_MISMATCH", "11 values, got 3", "node 1"] },
  { codec: "Exits", exit: 12, says: ["NODE_LOST: node 1", "exited with code 3", "worker w"] },
  { codec: "RejectsUnseen", exit: 13, says: ["CODEC_THREW", "unseen", "node 1"] },
  { codec: "ThrowsAtFirst", exit: 13, says: ["CODEC_THREW: constructor threw: not me", "node 1"] },
  { codec: "ThrowsAtLast", exit: 13, says: ["CODEC_THREW: dispose threw: not yet", "node 1"] },
];

describe("a codec that does wrong", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster({ workerCount: 2 });
  });
  afterAll(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  test.for(CASES)("$codec ends its job with one error and exit code $exit", async (wrong) => {
    const { code, stdout, output } = await cluster.submit([
      ...["--codec", `${FILE}.${wrong.codec}`, "--node-count", "2", ...SMALL],
      ...["--steps", "20", "--codec-timeout", "2", "--sync-timeout", "0.5", "--json"],
      ...["--output-dir", join(cluster.directory, wrong.codec)],
    ]);
    expect(code, output).toBe(wrong.exit);
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { type: string; message?: string });
    const errors = lines.filter(({ type }) => type === "error");
    expect(errors).toHaveLength(1);
    const ordered = new RegExp(wrong.says.map((part) => escape(part)).join(".*"), "s");
    expect(errors[0]!.message).toMatch(ordered);
    await cluster.idle();
  });

  test("leaves the workers able to run the next job", async () => {
    const { code, output } = await cluster.submit([
      ...["--codec", "plain.Plain", "--node-count", "2", "--steps", "5"],
      ...SMALL,
    ]);
    expect(code, output).toBe(0);
  });
});

function escape(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
