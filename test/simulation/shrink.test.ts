import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { PsgdError, type BlockWeight, type CodecContext, type CodecReturn } from "@psgd/core";
import {
  drawScenario,
  failureInWords,
  runScenario,
  runSeeds,
  runSeedsOnPool,
  shrink,
  simulatedJob,
  unpackJob,
  type Outcome,
  type PortableJob,
} from "@psgd/harness";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Mean } from "./planted-codecs.fixture.js";

/** Two nodes that wait for each other from the second step on. */
class WaitsForTheOther extends Mean {
  override updateBlocks(block: BlockWeight): CodecReturn {
    const returned = super.updateBlocks(block);
    return block.step === 1 && block.blockId < 2 ? undefined : returned;
  }
}

/** The same where there are three of them; two nodes it refuses. */
class NeedsThree extends WaitsForTheOther {
  constructor(context: CodecContext) {
    super(context);
    if (this.settings.nodeCount < 3)
      throw new PsgdError("SETTINGS_INVALID", "nodes: expected at least 3");
  }
}

/** A bundle, as a thread loads it: float sums depend on their order. */
const SUMS_AS_THEY_COME = `
import { Codec, netEncapsulation } from "${pathToFileURL(createRequire(import.meta.url).resolve("@psgd/core")).href}";
export class SumsAsTheyCome extends Codec {
  static carries = "gradients";
  #count = 0;
  updateBlocks({ blockId, content }) {
    this.#add(content);
    return netEncapsulation(this.settings.nodesWithout(blockId), content);
  }
  receiveBlocks(content) {
    this.#add(content);
  }
  #add(content) {
    const { blockCount } = this.settings;
    this.sum = this.#count === 0 ? content : this.sum.map((value, i) => value + content[i]);
    if (++this.#count < blockCount) return;
    this.#count = 0;
    this.setResult(this.sum.map((value) => value / blockCount));
  }
}`;

async function firstFailure(job: ReturnType<typeof simulatedJob>, firstSeed = 1): Promise<Outcome> {
  let found: Outcome | undefined;
  await runSeeds(job, { firstSeed, count: 2000 }, (outcome) => {
    if (outcome.violation !== undefined) found = outcome;
    return found !== undefined;
  });
  expect(found).toBeDefined();
  return found!;
}

describe("shrinking", () => {
  it("takes away all faults, nodes and steps that a deadlock does not need", async () => {
    const job = simulatedJob({ codec: WaitsForTheOther, promise: "mean" });
    const failed = await firstFailure(job);
    const smallest = await shrink(job, failed);
    expect(smallest.scenario).toMatchObject({
      nodeCount: 2,
      stepCount: 2,
      redundancy: 1,
      faults: [],
    });
    expect(smallest.violation?.invariant).toBe(failed.violation?.invariant);
  });

  it("never goes below the number of nodes that a codec asks for", async () => {
    const job = simulatedJob({ codec: NeedsThree, promise: "mean" });
    const failed = await firstFailure(job);
    const smallest = await shrink(job, failed);
    for (const { scenario, violation } of [failed, smallest]) {
      expect(scenario.nodeCount).toBe(3);
      expect(violation?.text).toMatch(/waits in step 1 for block/);
    }
  });

  it("keeps the fault that a failure needs", async () => {
    // A short time-out makes long pauses and cuts fatal, and nothing else.
    const job = simulatedJob({ codec: Mean, promise: "mean", syncTimeoutMs: 1000 });
    const smallest = await shrink(job, await firstFailure(job));
    expect(smallest.scenario.faults).toHaveLength(1);
  });

  it("tells who waits for whom, and the events as a numbered list, with the seed", async () => {
    const job = simulatedJob({ codec: WaitsForTheOther, promise: "mean" });
    const smallest = await shrink(job, await firstFailure(job));
    const text = failureInWords(smallest);
    expect(text).toContain("node 0 waits in step 1 for block 1 of node 1, last heard of step 0");
    expect(text).toContain("they wait for each other: node 0 → node 1 → node 0");
    expect(text).toContain(
      `seed ${smallest.scenario.seed}, 2 nodes, redundancy 1, 2 steps, no faults`,
    );
    expect(text).toMatch(/\n +1\. +0\.000 ms {2}node 0 starts\n/);
    expect(text).toMatch(/\d+\. +[\d.]+ ms {2}node [01] sends a message of step 0 to node [01]\n/);
  });
});

describe("the pool", () => {
  let job: PortableJob;
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "psgd-sim-"));
    job = {
      codec: { className: "SumsAsTheyCome", source: SUMS_AS_THEY_COME },
      ...{ serverCodec: undefined, sync: "ssgd", parameters: {}, promise: "mean" },
      moduleDirectory: folder,
    };
  });
  afterAll(() => rm(folder, { recursive: true }));

  it("finds on all cores what one finds, whatever comes first", async () => {
    const report = await runSeedsOnPool(job, { firstSeed: 1, count: 500 });
    expect(report.seedCount).toBe(500);
    const found = report.firstFailure!;
    const here = await unpackJob(job);
    for (let seed = 1; seed <= found.scenario.seed; seed++) {
      const alone = await runScenario(here, drawScenario(seed));
      expect(alone.violation).toEqual(seed === found.scenario.seed ? found.violation : undefined);
      if (seed === found.scenario.seed) expect(alone.traceHash).toBe(found.traceHash);
    }
    const again = await runSeedsOnPool(job, { firstSeed: 1, count: 500 });
    expect(again.broken).toEqual(report.broken);
    expect(again.eventCount).toBe(report.eventCount);
  });
});
