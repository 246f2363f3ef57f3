import { Codec, PsgdError, seededRandom, SILENT, sleep, type BlockWeight } from "@psgd/core";
import {
  digestsOf,
  fetchResults,
  listRecords,
  type NodeRecord,
  packageKey,
  placeNodes,
  tryAgainIfTaken,
  type WorkerReply,
  type WorkerRequest,
} from "@psgd/runtime";
import { LinkEndpoint, type Link } from "@psgd/transport";
import { unpack } from "@psgd/wire";
import { describe, expect, it } from "vitest";
import { Plain } from "../../codecs/plain.js";
import { MemoryStore } from "../support/memory-store.js";
import { TestCluster, testJob, type TestWorker } from "./test-cluster.js";

/** Cannot be constructed on node 1. */
class Unbuildable extends Codec {
  static override readonly carries = "gradients";
  constructor(...args: ConstructorParameters<typeof Codec>) {
    super(...args);
    if (this.nodeId === 1) throw new Error("no room");
  }
}

/** Fails at step 2 on node 1. */
class Thrower extends Plain {
  override updateBlocks(block: BlockWeight): ReturnType<Plain["updateBlocks"]> {
    if (this.nodeId === 1 && block.step === 2) throw new RangeError("lost my mind");
    return super.updateBlocks(block);
  }
}

/** Never comes to a result: its job waits. */
class Waiter extends Codec {
  static override readonly carries = "gradients";
}

const CODECS = { Plain, Unbuildable, Thrower, Waiter };
const cluster = (): TestCluster => new TestCluster(CODECS);
const job = testJob({ codec: "Plain", nodeCount: 3, batchSize: 5 });
/** Goes on until somebody ends it. */
const endlessJob = testJob({ codec: "Waiter", nodeCount: 3, batchSize: 5, syncTimeoutMs: 1e8 });

function expectIdle(workers: readonly TestWorker[]): void {
  for (const { daemon, host } of workers) {
    expect(daemon.info().freeSlots).toBe(daemon.info().slots);
    expect(daemon.info().jobs).toEqual([]);
    expect(host.count).toBe(0);
  }
}

function expectNothingKept(workers: readonly TestWorker[]): void {
  for (const { store } of workers)
    expect([...store.entries.keys()].filter((key) => key.startsWith("jobs/"))).toEqual([]);
}

/** A client that says what it likes. */
async function rawLink(
  at: TestCluster,
  worker: TestWorker,
  name = "client.raw",
): Promise<{ link: Link; replies: WorkerReply[]; say: (request: unknown) => Promise<void> }> {
  const endpoint = await LinkEndpoint.open({
    transport: at.network.connect(),
    clock: at.clock,
    random: seededRandom(name),
    address: name,
    log: SILENT,
    onLink: () => {},
  });
  const link = endpoint.connect(worker.daemon.info().address);
  const replies: WorkerReply[] = [];
  link.onMessage((reply) => replies.push(reply as WorkerReply));
  const say = async (request: unknown): Promise<void> => {
    link.send(request);
    await at.clock.advance(100);
  };
  return { link, replies, say };
}

const ofNode = (jobId: string, nodeId = 0) => ({ jobId, nodeId });

function preCommit(jobId: string): WorkerRequest {
  const { spec, packages } = testJob({ codec: "Plain", nodeCount: 1 });
  return {
    type: "preCommit",
    assignment: { jobId, nodeId: 0, spec, packages: digestsOf(packages), submittedAt: "now" },
  };
}

describe("submitting", () => {
  it("starts nothing when one of three workers is busy, and frees the others", async () => {
    const at = cluster();
    const workers = await at.workers("a", "b", "c");
    const { say } = await rawLink(at, workers[1]!);
    await say({ type: "canCommit", ...ofNode("other"), protocol: 1 });

    const { client } = await at.client();
    await expect(at.clock.run(at.submit(client, job, workers))).rejects.toThrow(
      "COMMIT_REJECTED: worker b: expected a free slot, got 1 of 1 in use by job other; wait, or run `job-submit --cancel other`",
    );
    await at.clock.advance(1_000);
    expectIdle([workers[0]!, workers[2]!]);
    expectNothingKept(workers);
    expect(workers.map(({ host }) => host.started.length)).toEqual([0, 0, 0]);
  });

  it("rolls all back when one node cannot be prepared, and says why", async () => {
    const at = cluster();
    const workers = await at.workers("a", "b", "c");
    const { client } = await at.client();
    const broken = testJob({ codec: "Unbuildable", nodeCount: 3, batchSize: 5 });
    await expect(at.clock.run(at.submit(client, broken, workers))).rejects.toThrow(
      /^CODEC_THREW: .*no room.*node 1/,
    );
    await at.clock.advance(10_000);
    expectIdle(workers);
    expectNothingKept(workers);
  });

  it("rolls all back when a disk is full while the packages come", async () => {
    const at = cluster();
    const workers = await at.workers("a", "b");
    workers[1]!.store.beforeWrite = () => {
      throw new PsgdError("STORE_FAILED", "packages: the disk is full");
    };
    const { client } = await at.client();
    const submitting = at.submit(client, testJob({ codec: "Plain" }), workers);
    await expect(at.clock.run(submitting)).rejects.toThrow("STORE_FAILED: packages: the disk");
    await at.clock.advance(10_000);
    expectIdle(workers);
  });

  it("calls the job off everywhere when a disk is full at the start", async () => {
    const at = cluster();
    const workers = await at.workers("a", "b");
    let records = 0;
    workers[1]!.store.beforeWrite = (key) => {
      if (key.endsWith("/record") && ++records >= 2)
        throw new PsgdError("STORE_FAILED", `${key}: the disk is full`);
    };
    const { client } = await at.client();
    const submitting = at.submit(client, testJob({ codec: "Plain" }), workers);
    await expect(at.clock.run(submitting)).rejects.toThrow("STORE_FAILED");
    await at.clock.advance(10_000);
    expectIdle(workers);
  });

  it("gives up on a worker that is not there, and frees the others", async () => {
    const at = cluster();
    const [a, b] = await at.workers("a", "b");
    const gone = await at.worker("gone");
    await at.clock.run(gone.daemon.stop(0));
    const { client } = await at.client();
    const submitting = at.submit(client, job, [a!, b!, gone]);
    await expect(at.clock.run(submitting)).rejects.toThrow(
      /^NODE_LOST: node 2: expected a sign of life .*; worker gone, .*; look at its log, or submit again without it$/,
    );
    await at.clock.advance(10_000);
    expectIdle([a!, b!]);
  });

  it("says which nodes were not ready in time", async () => {
    const at = cluster();
    const workers = await at.workers("a", "b");
    // The write of a package on b never ends.
    workers[1]!.store.beforeWrite = () => new Promise(() => {});
    const { client } = await at.client();
    const submitting = at.submit(client, testJob({ codec: "Plain" }), workers, {
      readyTimeoutMs: 5_000,
    });
    await expect(at.clock.run(submitting)).rejects.toThrow(
      "COMMIT_TIMEOUT: preCommit: expected an answer within 5000 ms, got none from node 1 on worker b; all workers were rolled back; look at the log there, and submit again",
    );
    await at.clock.advance(10_000);
    expectIdle(workers);
  });

  it("can be called off, and leaves nothing", async () => {
    const at = cluster();
    const workers = await at.workers("a", "b", "c");
    const { client } = await at.client();
    const abort = new AbortController();
    const submitting = at.submit(client, job, workers, { signal: abort.signal });
    abort.abort();
    await expect(at.clock.run(submitting)).rejects.toThrow("JOB_CANCELLED: job job-0: called off");
    await at.clock.advance(10_000);
    expectIdle(workers);
    expectNothingKept(workers);
  });

  it("gives the slots to one of two submitters that want them at once, and nothing to the other", async () => {
    const at = cluster();
    const workers = await at.workers("a", "b", "c");
    const [first, second] = [await at.client(), await at.client()];
    const outcomes = await at.clock.run(
      Promise.allSettled([
        at.submit(first.client, job, workers),
        // In the other order: each might hold what the other waits for.
        at.submit(second.client, { ...job, spec: { ...job.spec } }, [...workers].reverse()),
      ]),
    );
    const states = outcomes.map(({ status }) => status);
    expect(states.filter((state) => state === "fulfilled").length).toBeLessThanOrEqual(1);
    for (const outcome of outcomes)
      if (outcome.status === "rejected")
        expect(outcome.reason).toMatchObject({ code: "COMMIT_REJECTED" });
    await at.clock.advance(60_000);
    expectIdle(workers);
  });

  it("goes to another worker when somebody else was faster at the first", async () => {
    const at = cluster();
    const workers = await at.workers("a", "b");
    const { say } = await rawLink(at, workers[0]!);
    const single = testJob({ codec: "Waiter", nodeCount: 1, syncTimeoutMs: 1e8 });
    const { client } = await at.client();
    const directory = at.network.directory(at.clock);
    let attempts = 0;
    const submitted = tryAgainIfTaken({ clock: at.clock, log: SILENT, forMs: 7_000 }, async () => {
      const placement = placeNodes([0], await directory.list({ timeoutMs: 500 }), undefined);
      // Between the look and the lease.
      if (attempts++ === 0) await say({ type: "canCommit", ...ofNode("other"), protocol: 1 });
      const chosen = workers.filter(({ daemon }) => daemon.info().name === placement.get(0)!.name);
      return at.submit(client, single, chosen);
    });
    const jobId = await at.clock.run(submitted);
    expect(attempts).toBe(2);
    expect(workers.map(({ daemon }) => daemon.info().jobs)).toEqual([["other"], [jobId]]);
  });

  it("is refused when all are taken, and does not ask for ever", async () => {
    const at = cluster();
    const [worker] = await at.workers("a");
    const { say } = await rawLink(at, worker!);
    await say({ type: "canCommit", ...ofNode("other"), protocol: 1 });
    const { client } = await at.client();
    const single = testJob({ codec: "Plain", nodeCount: 1 });
    const attempt = (): Promise<string> => at.submit(client, single, [worker!]);
    const submitted = tryAgainIfTaken({ clock: at.clock, log: SILENT, forMs: 7_000 }, attempt);
    await expect(at.clock.run(submitted, 20_000)).rejects.toThrow(
      "COMMIT_REJECTED: worker a: expected a free slot, got 1 of 1 in use by job other",
    );
    const broken = testJob({ codec: "Unbuildable", nodeCount: 2 });
    await say({ type: "rollback", ...ofNode("other"), reason: "done" });
    const wide = await at.worker("b", { slots: 2 });
    let attempts = 0;
    const failing = tryAgainIfTaken({ clock: at.clock, log: SILENT, forMs: 7_000 }, () => {
      attempts++;
      return at.submit(client, broken, [wide]);
    });
    await expect(at.clock.run(failing)).rejects.toThrow(/^CODEC_THREW: /);
    expect(attempts).toBe(1);
  });

  it("does not send again what a worker holds", async () => {
    const at = cluster();
    const workers = await at.workers("a", "b");
    const twoNodes = testJob({ codec: "Plain" });
    const { packages } = twoNodes;
    await at.run(twoNodes, workers);
    const held = [...workers[0]!.store.entries.keys()].filter((key) => key.startsWith("packages/"));
    const digests = digestsOf(packages);
    expect(held.sort()).toEqual(
      [digests.codec_and_sgd_package, digests.data_sample_package].map(packageKey).sort(),
    );
    const written: string[] = [];
    workers[0]!.store.beforeWrite = (key) => void written.push(key);
    await at.run(twoNodes, workers);
    expect(written).not.toContain(packageKey(digests.data_sample_package));
    expect(written).not.toContain(packageKey(digests.codec_and_sgd_package));
    expect(written).toContain(packageKey(digests.misc_package));
  });

  it("does not send a data set that the worker can provide itself", async () => {
    const at = cluster();
    const { packages, spec } = testJob({ codec: "Plain", nodeCount: 1 });
    const digest = digestsOf(packages).data_sample_package;
    const worker = await at.worker("a", {
      provide: async (sha256) => (sha256 === digest ? packages.data_sample_package : undefined),
    });
    const empty = new Uint8Array();
    const digests = digestsOf(packages);
    // Were it asked for, it would come empty and be refused.
    const { say, replies } = await rawLink(at, worker);
    await say({ type: "canCommit", ...ofNode("j"), protocol: 1 });
    await say({
      type: "preCommit",
      assignment: { jobId: "j", nodeId: 0, spec, packages: digests, submittedAt: "now" },
    });
    for (const name of Object.keys(packages) as (keyof typeof packages)[]) {
      const content = name === "data_sample_package" ? empty : packages[name];
      await say({ type: "package", ...ofNode("j"), name, content });
    }
    expect(replies.map(({ type }) => type)).toContain("ready");
    expect(replies).toContainEqual({
      type: "requirement",
      ...ofNode("j"),
      name: "data_sample_package",
      isHeld: true,
    });
  });
});

describe("a submitter whose connection is closed", () => {
  it("learns that it is cut off, and does not wait for ever", async () => {
    const at = cluster();
    const workers = await at.workers("a", "b", "c");
    const { client, vanish } = await at.client();
    const jobId = await at.clock.run(at.submit(client, endlessJob, workers));
    const { outcome } = at.follow(client, jobId, endlessJob, workers);
    await vanish();
    const { error } = await at.clock.run(outcome, 60_000);
    expect(error?.message).toMatch(/^NODE_LOST: node 0: /);
    expect(error?.cause).toMatchObject({ code: "TRANSPORT_CLOSED" });
  });

  it("hears the first cause when that happens while the job is set up", async () => {
    const at = cluster();
    const workers = await at.workers("a", "b", "c");
    const { client, vanish } = await at.client();
    workers[1]!.store.beforeWrite = () => sleep(at.clock, 5_000);
    const submitted = at.submit(client, endlessJob, workers);
    submitted.catch(() => {});
    await at.clock.advance(1_000);
    await vanish();
    await expect(at.clock.run(submitted, 60_000)).rejects.toThrow(
      /^NODE_LOST: .* while the job is being set up/,
    );
  });
});

describe("a submitter that is gone", () => {
  it("leaves the packages free for others, also when it goes while the worker reads its own", async () => {
    const at = cluster();
    let found = (): void => {};
    const reading = new Promise<void>((resolve) => (found = resolve));
    const provide = async (): Promise<undefined> => {
      await reading;
      return undefined;
    };
    const worker = await at.worker("a", { slots: 2, provide });
    const single = testJob({ codec: "Plain", nodeCount: 1 });
    const { say } = await rawLink(at, worker);
    await say({ type: "canCommit", ...ofNode("left"), protocol: 1 });
    await say(preCommit("left"));
    await say({ type: "rollback", ...ofNode("left"), reason: "it is gone" });
    found();
    const { error } = await at.run(single, [worker]);
    expect(error).toBeUndefined();
  });

  it("leaves no lease behind", async () => {
    const at = cluster();
    const worker = await at.worker("a");
    const { client, vanish } = await at.client();
    client.send(worker.daemon.info().address, {
      type: "canCommit",
      ...ofNode("j"),
      protocol: 1,
    });
    await at.clock.advance(1_000);
    expect(worker.daemon.info()).toMatchObject({ freeSlots: 0, jobs: ["j"] });
    await vanish();
    await at.clock.advance(10_000);
    expectIdle([worker]);
  });

  it("leaves no prepared node behind", async () => {
    const at = cluster();
    const worker = await at.worker("a");
    const { client, vanish } = await at.client();
    const { packages } = testJob({ codec: "Plain", nodeCount: 1 });
    const { address } = worker.daemon.info();
    client.listen(
      (_, reply) => {
        if (reply.type === "leased") client.send(address, preCommit("j"));
        if (reply.type === "requirement")
          client.send(address, {
            type: "package",
            ...ofNode("j"),
            name: reply.name,
            content: packages[reply.name],
          });
        if (reply.type === "ready") void vanish();
      },
      () => {},
    );
    client.send(address, { type: "canCommit", ...ofNode("j"), protocol: 1 });
    await at.clock.advance(1_000);
    expect(worker.host.count).toBe(1);
    await at.clock.advance(10_000);
    expectIdle([worker]);
    expectNothingKept([worker]);
  });

  it("changes nothing once the job has started; another brings the results home, and again", async () => {
    const at = cluster();
    const workers = await at.workers("a", "b", "c");
    const { client, vanish } = await at.client();
    const jobId = await at.clock.run(at.submit(client, job, workers));
    await vanish();
    await at.clock.advance(60_000);
    expectIdle(workers);

    const { client: later } = await at.client();
    const addresses = workers.map(({ daemon }) => daemon.info().address);
    const list = await at.clock.run(listRecords(later, at.clock, addresses, 1_000, SILENT));
    const states = [...list.values()].flat();
    expect(states.map(({ state, isRetrieved }) => [state, isRetrieved])).toEqual(
      Array(3).fill(["done", false]),
    );
    const outcome = await at.clock.run(at.follow(later, jobId, job, workers).outcome);
    expect(outcome.error).toBeUndefined();
    const fetched = [];
    for (let time = 0; time < 2; time++) {
      fetched.push(await at.clock.run(fetchResults(later, at.clock, addresses[0]!, jobId, 0)));
      later.send(addresses[0]!, { type: "retrieved", ...ofNode(jobId) });
      await at.clock.advance(1_000);
    }
    expect(fetched[0]!.files).toEqual(fetched[1]!.files);
    expect([...fetched[0]!.files.keys()].sort()).toEqual([
      "E-N(3)-R(1)-ID(0)-CODEC(Plain).csv",
      "L-N(3)-R(1)-ID(0)-CODEC(Plain).csv",
      "T-N(3)-R(1)-ID(0)-CODEC(Plain).csv",
      "Training log @ node-0_00-00-00.log",
      "model/weights.bin",
    ]);
    expect(fetched.map(({ record }) => record.isRetrieved)).toEqual([false, true]);
  });
});

describe("a running job", () => {
  it("ends on all nodes when a codec throws, and the error is that codec's", async () => {
    const at = cluster();
    const workers = await at.workers("a", "b", "c");
    const thrower = testJob({ codec: "Thrower", nodeCount: 3, batchSize: 5, stepCount: 50 });
    const { error, records } = await at.run(thrower, workers);
    expect(error?.message).toMatch(/^CODEC_THREW: .*updateBlocks.*lost my mind.*node 1/);
    expect(records.map(({ state }) => state)).toEqual(["failed", "failed", "failed"]);
    await at.clock.advance(10_000);
    expectIdle(workers);
  });

  it("ends on all nodes when one is killed, and the error names it", async () => {
    const at = cluster();
    const workers = await at.workers("a", "b", "c");
    const { client } = await at.client();
    const jobId = await at.clock.run(at.submit(client, endlessJob, workers));
    const { outcome } = at.follow(client, jobId, endlessJob, workers);
    workers[2]!.host.killAll();
    const { error, records } = await at.clock.run(outcome);
    expect(error?.message).toMatch(
      /^NODE_LOST: node 2: expected to run, got its end: it was killed; worker .*; look at its log, and submit the job again$/,
    );
    expect(records.map(({ state }) => state)).toEqual(["failed", "failed", "failed"]);
    await at.clock.advance(10_000);
    expectIdle(workers);
  });

  it("can be cancelled: all nodes end, and say so", async () => {
    const at = cluster();
    const workers = await at.workers("a", "b", "c");
    const { client } = await at.client();
    const jobId = await at.clock.run(at.submit(client, endlessJob, workers));
    const follower = at.follow(client, jobId, endlessJob, workers);
    follower.cancel(new PsgdError("JOB_CANCELLED", "that is enough"));
    const { error, records } = await at.clock.run(follower.outcome);
    expect(error?.message).toBe("JOB_CANCELLED: that is enough");
    expect(records.map(({ state }) => state)).toEqual(Array(3).fill("cancelled"));
    await at.clock.advance(10_000);
    expectIdle(workers);
  });

  it("is handed back when its worker shuts down, which takes no other", async () => {
    const at = cluster();
    const workers = await at.workers("a", "b", "c");
    const { client } = await at.client();
    const jobId = await at.clock.run(at.submit(client, endlessJob, workers));
    const { outcome } = at.follow(client, jobId, endlessJob, workers);
    const stopped = workers[1]!.daemon.stop(1_000);
    expect(workers[1]!.daemon.info().freeSlots).toBe(0);
    const { error } = await at.clock.run(outcome);
    expect(error?.message).toMatch(
      /^NODE_LOST: node 1: expected .*, got its shutdown; worker b; submit the job again, .*--grace/,
    );
    await at.clock.run(stopped);
    await at.clock.advance(10_000);
    expectIdle([workers[0]!, workers[2]!]);
  });
});

describe("what a worker keeps", () => {
  it("holds no packages of one job only, whether that ran or was rolled back", async () => {
    const at = cluster();
    const worker = await at.worker("a");
    const kept = (): string[] =>
      [...worker.store.entries.keys()].filter((k) => k.startsWith("packages/"));
    const single = testJob({ codec: "Plain", nodeCount: 1 });
    const digests = digestsOf(single.packages);
    const lasting = [digests.codec_and_sgd_package, digests.data_sample_package].map(packageKey);
    await at.run(single, [worker]);
    await at.clock.advance(5_000);
    expect(kept().sort()).toEqual(lasting.sort());

    const { say, link } = await rawLink(at, worker);
    await say({ type: "canCommit", ...ofNode("j"), protocol: 1 });
    await say(preCommit("j"));
    for (const name of [
      "global_setting_package",
      "codec_and_sgd_package",
      "weights_and_layers_package",
    ] as const)
      await say({ type: "package", ...ofNode("j"), name, content: single.packages[name] });
    expect(kept().length).toBeGreaterThan(2);
    await Promise.all([link.close(), at.clock.advance(5_000)]);
    expectIdle([worker]);
    expect(kept().sort()).toEqual(lasting);
  });

  it("is there for a job that comes while that of the job before is still being removed", async () => {
    const at = cluster();
    const store = new (class extends MemoryStore {
      override async remove(key: string): Promise<void> {
        if (key.startsWith("packages/")) await sleep(at.clock, 500);
        return super.remove(key);
      }
    })();
    store.beforeWrite = (key) => (key.endsWith("/record") ? sleep(at.clock, 1_000) : undefined);
    const worker = await at.worker("a", { store });
    const single = testJob({ codec: "Plain", nodeCount: 1, stepCount: 1 });
    await at.run(single, [worker]);
    await at.clock.advance(100);
    expect((await at.run(single, [worker])).error).toBeUndefined();
  });

  it("is not overwritten or deleted by a job under the same id", async () => {
    const at = cluster();
    const worker = await at.worker("a");
    const single = testJob({ codec: "Plain", nodeCount: 1 });
    const { jobId } = await at.run(single, [worker]);
    const kept = new Map(worker.store.entries);
    const { client } = await at.client();
    await expect(at.clock.run(at.submit(client, single, [worker], { jobId }))).rejects.toThrow(
      `COMMIT_REJECTED: worker a: expected a new job, got node 0 of job ${jobId}`,
    );
    const { say } = await rawLink(at, worker);
    await say({ type: "canCommit", ...ofNode(jobId), protocol: 1 });
    await say({ type: "rollback", ...ofNode(jobId), reason: "changed my mind" });
    expectIdle([worker]);
    for (const [key, content] of kept)
      if (key.startsWith("jobs/")) expect(worker.store.entries.get(key)).toEqual(content);
  });

  it("survives its process: what ran has failed, what was only prepared is gone", async () => {
    const at = cluster();
    const store = new MemoryStore();
    const first = await at.worker("a", { store, slots: 2 });
    const single = testJob({ codec: "Waiter", nodeCount: 1, syncTimeoutMs: 1e8 });
    const { client } = await at.client();
    const jobId = await at.clock.run(at.submit(client, single, [first]));
    const { say } = await rawLink(at, first);
    await say({ type: "canCommit", ...ofNode("prepared"), protocol: 1 });
    await say(preCommit("prepared"));
    for (const [name, content] of Object.entries(
      testJob({ codec: "Plain", nodeCount: 1 }).packages,
    ))
      await say({ type: "package", ...ofNode("prepared"), name, content });
    expect(store.entries.has("jobs/prepared/node-0/record")).toBe(true);
    // The process is gone; its disk is not.
    const disk = new MemoryStore();
    for (const [key, content] of store.entries) disk.entries.set(key, content);

    const after = cluster();
    const second = await after.worker("a", { store: disk });
    const { client: later } = await after.client();
    const { outcome } = after.follow(later, jobId, single, [second]);
    const { records, error } = await after.clock.run(outcome);
    expect(records.map(({ state }) => state)).toEqual(["failed"]);
    expect(error?.message).toMatch(
      /^NODE_LOST: node 0: expected .*, got its end; worker a, .*; submit the job again$/,
    );
    expect([...disk.entries.keys()].filter((key) => key.includes("prepared"))).toEqual([]);
  });

  it("is told though the disk is full when a node ends, and written when there is room", async () => {
    const at = cluster();
    const worker = await at.worker("a");
    let isFull = true;
    let records = 0;
    worker.store.beforeWrite = (key) => {
      if (key.endsWith("/record") && ++records > 2 && isFull)
        throw new PsgdError("STORE_FAILED", `${key}: the disk is full`);
    };
    const single = testJob({ codec: "Plain", nodeCount: 1, stepCount: 1 });
    const { jobId, error, client } = await at.run(single, [worker]);
    expect(error).toBeUndefined();
    const written = (): NodeRecord =>
      unpack(worker.store.entries.get(`jobs/${jobId}/node-0/record`)!) as NodeRecord;
    expect(written().state).toBe("running");
    const { address } = worker.daemon.info();
    const fetched = await at.clock.run(fetchResults(client, at.clock, address, jobId, 0));
    expect(fetched.record.state).toBe("done");
    client.send(address, { type: "retrieved", ...ofNode(jobId) });
    await at.clock.advance(1_000);
    isFull = false;
    await at.clock.advance(5_000);
    expect(written()).toEqual({ ...fetched.record, isRetrieved: true });
  });

  it("is the newest, however slowly the disk takes the one before", async () => {
    const at = cluster();
    const worker = await at.worker("a");
    let records = 0;
    let land = (): void => {};
    const slow = new Promise<void>((resolve) => (land = resolve));
    worker.store.beforeWrite = async (key) => {
      if (!key.endsWith("/record")) return;
      records++;
      // Prepared, running; the end is refused once, and is on its way when it is tried again.
      if (records === 3) throw new PsgdError("STORE_FAILED", `${key}: the disk is full`);
      if (records === 4) await slow;
    };
    const single = testJob({ codec: "Plain", nodeCount: 1, stepCount: 1 });
    const { jobId, client } = await at.run(single, [worker]);
    await at.clock.advance(6_000);
    expect(records).toBe(4);
    const { address } = worker.daemon.info();
    client.send(address, { type: "retrieved", ...ofNode(jobId) });
    await at.clock.advance(1_000);
    land();
    await at.clock.advance(20_000);
    const record = unpack(worker.store.entries.get(`jobs/${jobId}/node-0/record`)!) as NodeRecord;
    expect(record).toMatchObject({ state: "done", isRetrieved: true });
    expect(records).toBe(5);
  });

  it("is no record of a node that ended while the disk still took in that it runs", async () => {
    const at = cluster();
    const worker = await at.worker("a");
    let records = 0;
    let land = (): void => {};
    const slow = new Promise<void>((resolve) => (land = resolve));
    worker.store.beforeWrite = async (key) => {
      if (key.endsWith("/record") && ++records === 2) await slow;
    };
    const single = testJob({ codec: "Waiter", nodeCount: 1, syncTimeoutMs: 1e8 });
    const { client } = await at.client();
    const submitted = at.submit(client, single, [worker], { jobId: "j" });
    submitted.catch(() => {});
    await at.clock.advance(3_000);
    expect(records).toBe(2);
    worker.host.killAll();
    await at.clock.advance(1_000);
    land();
    await at.clock.advance(1_000);
    const record = unpack(worker.store.entries.get("jobs/j/node-0/record")!) as NodeRecord;
    expect(record.state).toBe("failed");
  });

  it("is that of the last twenty jobs that were fetched, and all that were not", async () => {
    const at = cluster();
    const worker = await at.worker("a", { slots: 2 });
    const pair = testJob({ codec: "Plain", nodeCount: 2, stepCount: 1 });
    const both = [worker, worker];
    const { address } = worker.daemon.info();
    const unfetched = await at.run(pair, both);
    const ids: string[] = [];
    for (let n = 0; n < 22; n++) {
      const { jobId, client } = await at.run(pair, both);
      ids.push(jobId);
      for (const nodeId of [0, 1]) client.send(address, { type: "retrieved", jobId, nodeId });
      await at.clock.advance(1_000);
    }
    const kept = new Set(
      [...worker.store.entries.keys()]
        .filter((key) => key.startsWith("jobs/"))
        .map((key) => key.split("/")[1]!),
    );
    expect([...kept].sort()).toEqual([unfetched.jobId, ...ids.slice(2)].sort());
  });
});

describe("a worker that is told nonsense", () => {
  const HUGE = { spec: { nodeCount: 1e9 }, packages: {}, jobId: "j", nodeId: 0 };
  it.each<[string, unknown]>([
    ["nothing", undefined],
    ["a number", 7],
    ["an empty object", {}],
    ["a type it does not know", { type: "format-disk" }],
    ["a job id that is a path", { type: "fetch", jobId: "../../etc", nodeId: 0 }],
    ["a job id that is no text", { type: "attach", jobId: { a: 1 } }],
    ["a node id that is none", { type: "canCommit", jobId: "j", nodeId: -7, protocol: 1 }],
    ["a node id that is a text", { type: "doCommit", jobId: "j", nodeId: "0" }],
    ["no assignment", { type: "preCommit" }],
    ["a billion nodes", { type: "preCommit", assignment: HUGE }],
    ["a package nobody asked for", { type: "package", jobId: "j", nodeId: 0, name: "x" }],
    ["a cancel without error", { type: "cancel", jobId: "j" }],
    ["a rollback of nothing", { type: "rollback", jobId: "j", nodeId: 0, reason: "because" }],
    ["a start of nothing", { type: "doCommit", jobId: "j", nodeId: 0 }],
  ])("lives on: %s", async (_, nonsense) => {
    const at = cluster();
    const worker = await at.worker("a");
    const { say, replies } = await rawLink(at, worker);
    await say(nonsense);
    expect(replies).toEqual([]);
    await say({ type: "records" });
    expect(replies).toEqual([{ type: "records", records: [] }]);
    const { error } = await at.run(testJob({ codec: "Plain", nodeCount: 1 }), [worker]);
    expect(error).toBeUndefined();
  });

  it("lives on: frames that are none, at its own address", async () => {
    const at = cluster();
    const worker = await at.worker("a");
    const transport = at.network.connect();
    const random = seededRandom("noise");
    for (let length = 0; length < 200; length++) {
      const noise = Uint8Array.from({ length }, () => Math.floor(256 * random.float()));
      transport.send(worker.daemon.info().address, noise);
    }
    const { error } = await at.run(testJob({ codec: "Plain", nodeCount: 1 }), [worker]);
    expect(error).toBeUndefined();
  });

  it("refuses another version of the protocol and says which is expected", async () => {
    const at = cluster();
    const worker = await at.worker("a");
    const { say, replies } = await rawLink(at, worker);
    await say({ type: "canCommit", ...ofNode("j"), protocol: 2 });
    expect(replies).toMatchObject([{ type: "refused", error: { code: "WIRE_VERSION" } }]);
    expect(JSON.stringify(replies)).toContain("expected protocol 1 (version 1), got protocol 2");
    expectIdle([worker]);
  });

  it("refuses bytes that are not those of the package", async () => {
    const at = cluster();
    const worker = await at.worker("a");
    const { say, replies } = await rawLink(at, worker);
    await say({ type: "canCommit", ...ofNode("j"), protocol: 1 });
    await say(preCommit("j"));
    await say({
      type: "package",
      ...ofNode("j"),
      name: "global_setting_package",
      content: new Uint8Array([1, 2, 3]),
    });
    expect(replies.at(-1)).toMatchObject({ type: "refused", error: { code: "WIRE_MALFORMED" } });
    expectIdle([worker]);
    expect([...worker.store.entries.keys()]).toEqual([]);
  });

  it("starts one node for a preCommit that comes twice, and lets it be", async () => {
    const at = cluster();
    const worker = await at.worker("a");
    const { say } = await rawLink(at, worker);
    await say({ type: "canCommit", ...ofNode("j"), protocol: 1 });
    const { packages } = testJob({ codec: "Plain", nodeCount: 1 });
    for (let time = 0; time < 2; time++) {
      await say(preCommit("j"));
      for (const [name, content] of Object.entries(packages))
        await say({ type: "package", ...ofNode("j"), name, content });
    }
    expect([worker.host.started.length, worker.host.count]).toEqual([1, 1]);
  });

  it("lets nobody but its submitter start or roll back a node", async () => {
    const at = cluster();
    const worker = await at.worker("a");
    const owner = await rawLink(at, worker, "client.owner");
    const stranger = await rawLink(at, worker, "client.stranger");
    await owner.say({ type: "canCommit", ...ofNode("j"), protocol: 1 });
    await stranger.say(preCommit("j"));
    await stranger.say({ type: "rollback", ...ofNode("j"), reason: "mine" });
    expect(worker.daemon.info().jobs).toEqual(["j"]);
    expect(owner.replies).toEqual([{ type: "leased", ...ofNode("j") }]);
  });

  it("starts no node for a job that was rolled back while its record was written", async () => {
    const at = cluster();
    const worker = await at.worker("a");
    let finishWrite: () => void = () => {};
    worker.store.beforeWrite = (key) =>
      key.endsWith("/record")
        ? new Promise((resolve) => {
            finishWrite = resolve;
          })
        : undefined;
    const { say } = await rawLink(at, worker);
    await say({ type: "canCommit", ...ofNode("j"), protocol: 1 });
    await say(preCommit("j"));
    const { packages } = testJob({ codec: "Plain", nodeCount: 1 });
    for (const [name, content] of Object.entries(packages))
      await say({ type: "package", ...ofNode("j"), name, content });
    await say({ type: "rollback", ...ofNode("j"), reason: "too slow" });
    finishWrite();
    await at.clock.advance(1_000);
    expect(worker.host.started).toEqual([]);
    expectIdle([worker]);
    expectNothingKept([worker]);
  });

  it("says that it does not know a job", async () => {
    const at = cluster();
    const worker = await at.worker("a");
    const { client } = await at.client();
    const fetching = fetchResults(client, at.clock, worker.daemon.info().address, "nope", 0);
    await expect(at.clock.run(fetching, 1_000)).rejects.toThrow(
      "JOB_UNKNOWN: worker a: expected a job it has run, got node 0 of job nope",
    );
  });
});
