/*
 * One test for each trap that the original fell into (rows PT-1 to PT-16 of the feature list), showing that this
 * program does not. They use real parts, kept small; more about each part stands beside its source.
 */
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  ASSIGNMENTS,
  Codec,
  PARAMETER_SERVER,
  SILENT,
  meanOf,
  netEncapsulation,
  seededRandom,
  type BlockWeight,
  type CodecClass,
  type CodecReturn,
  type NetEncapsulation,
  type NodeId,
} from "@psgd/core";
import { VirtualClock, runCodecHarness } from "@psgd/harness";
import { LinkEndpoint, MemoryNetwork, faulty } from "@psgd/transport";
import { pack, unpack } from "@psgd/wire";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCli, startNode } from "./support/processes.js";

/** The mean of all nodes' blocks, peer to peer. */
class Mean extends Codec {
  static override readonly carries: CodecClass["carries"] = "gradients";
  readonly #blocks = new Map<number, Float32Array>();

  override updateBlocks({ blockId, content }: BlockWeight): CodecReturn {
    this.#keep([blockId, content]);
    return netEncapsulation(this.settings.nodesWithout(blockId), [blockId, content]);
  }

  override receiveBlocks(content: unknown): CodecReturn {
    this.#keep(content as [number, Float32Array]);
  }

  #keep([blockId, content]: [number, Float32Array]): void {
    this.#blocks.set(blockId, content);
    if (this.#blocks.size < this.settings.blockCount) return;
    this.setResult(meanOf(this.settings.blocks.map((id) => this.#blocks.get(id)!)));
    this.#blocks.clear();
  }
}

/** Waits for the weights of all nodes in a round, however far the nodes are apart. */
class Server extends Codec {
  static override readonly carries = "weights";
  readonly #byNode = new Map<NodeId, Float32Array>();

  override receiveBlocks(content: unknown): CodecReturn {
    const [node, weights] = content as [NodeId, Float32Array];
    this.#byNode.set(node, weights);
    if (this.#byNode.size < this.settings.nodeCount) return undefined;
    const mean = meanOf(this.settings.nodes.map((each) => this.#byNode.get(each)!));
    this.#byNode.clear();
    return netEncapsulation(this.settings.nodes, mean);
  }
}

/** Goes its own way, and merges at the end of every so many steps: after `turnOf` the node. */
class Client extends Codec {
  static override readonly carries = "weights";
  static override readonly server = Server;

  override updateBlocks({ content, step }: BlockWeight): CodecReturn {
    // Node k waits first in its step 2 + 2k, as with uneven data: their rounds meet at different steps.
    const period = 2 + 2 * this.nodeId;
    if ((step + 1) % period === 0 && (step + 1) / period <= 2)
      return netEncapsulation(PARAMETER_SERVER, [this.nodeId, content]);
    this.setResult(content);
  }

  override receiveBlocks(content: unknown): void {
    this.setResult(content as Float32Array);
  }
}

describe("the traps of the original", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "psgd-traps-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const submit = (...args: string[]) =>
    startCli("job-submit", [
      ...["--local", "--dataset", "simlin", "--model", "linear", "--output-dir", folder],
      ...args,
    ]);

  it("PT-1: what comes early for the next step is kept for it", async () => {
    // Many orders make nodes finish a step while their peers are one ahead; nothing may be missing or mixed.
    const report = await runCodecHarness({ codec: Mean, nodeCount: 3, rounds: 20, schedules: 30 });
    expect(report).toMatchObject({ messageCount: 20 * 3 * 2, lateCount: 0 });
  });

  it("PT-2: lists, sets and async generators of envelopes are sent like generators", async () => {
    const forms: ((envelopes: NetEncapsulation[]) => CodecReturn)[] = [
      (envelopes) => envelopes,
      (envelopes) => new Set(envelopes),
      (envelopes) => envelopes.values(),
      async function* (envelopes) {
        yield* envelopes;
      },
      (envelopes) => Promise.resolve(envelopes),
    ];
    for (const form of forms) {
      class Formed extends Mean {
        override updateBlocks(block: BlockWeight): CodecReturn {
          const { targets, content } = super.updateBlocks(block) as NetEncapsulation;
          return form(targets.map((target) => netEncapsulation(target, content)));
        }
      }
      const report = await runCodecHarness({ codec: Formed, rounds: 2 });
      expect(report.messageCount).toBe(2 * 4 * 3);
    }
  });

  it("PT-3: the workers of a job with a parameter server are evaluated, and the server does not count", async () => {
    await using job = submit("--node-count", "2", "--codec", "fedavg.FedAvgClient", "--json");
    expect((await job.exit(60_000)).code, job.output).toBe(0);
    const finished = job.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { type: string; nodes?: FinishedNode[] })
      .find(({ type }) => type === "finished");
    const nodes = finished!.nodes!;
    expect(nodes.map(({ nodeId, state }) => [nodeId, state]).sort()).toEqual(
      [
        [-2, "done"],
        [0, "done"],
        [1, "done"],
      ].sort(),
    );
    for (const { nodeId, summary } of nodes) {
      // The server has no loss of its own that an average could be diluted with.
      expect(summary.evaluation === undefined, `node ${nodeId}`).toBe(nodeId === PARAMETER_SERVER);
    }
  });

  it("PT-4: a job with a parameter server runs, from submit to its results", async () => {
    const options = ["--node-count", "3", "--psgd", "asgd", "--steps", "20"];
    await using job = submit("--codec", "naive_ps.PSClient", ...options);
    expect((await job.exit(60_000)).code, job.output).toBe(0);
    expect(job.output).toContain("Add worker (Rule: PS, Id: -2, Address: local).");
  });

  it("PT-5: a node that fails is told of once", async () => {
    await using job = submit(
      "--node-count",
      "2",
      "--param",
      "local_steps=0",
      "--json",
      ...["--codec", "fedavg.FedAvgClient"],
    );
    expect((await job.exit(60_000)).code).toBe(13);
    const ends = job.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { type: string; nodeId?: number })
      .filter(({ type }) => type === "ended")
      .map(({ nodeId }) => nodeId);
    expect(new Set(ends).size).toBe(ends.length);
  });

  it("PT-6: the rescue hook is called once per time-out", async () => {
    class Rescued extends Mean {
      static rescues: string[] = [];
      #step = 0;
      #own: CodecReturn = undefined;
      override updateBlocks(block: BlockWeight): CodecReturn {
        this.#step = block.step;
        this.#own = super.updateBlocks(block);
      }
      override onSyncTimeout(): CodecReturn {
        Rescued.rescues.push(`${this.nodeId}/${this.#step}`);
        return this.#own;
      }
    }
    await runCodecHarness({ codec: Rescued, nodeCount: 3, rounds: 4 });
    expect(Rescued.rescues.length).toBe(12);
    expect(new Set(Rescued.rescues).size).toBe(12);
  });

  it("PT-7: a receiver that is slow, on a network that loses frames, misses nothing", async () => {
    const clock = new VirtualClock();
    const random = seededRandom("PT-7");
    const network = new MemoryNetwork();
    const lossy = faulty(network.connect(), {
      clock,
      random: random.fork("faults"),
      dropRate: 0.2,
    });
    const received: number[] = [];
    const options = { clock, random, log: SILENT, deadAfterMs: 60_000 };
    await LinkEndpoint.open({
      ...options,
      transport: network.connect(),
      address: "receiver",
      onLink: (link) => link.onMessage((value) => void received.push(value as number)),
    });
    const sender = await LinkEndpoint.open({
      ...options,
      transport: lossy,
      address: "sender",
      onLink: () => {},
    });
    const link = sender.connect("receiver");
    // More than the 256 messages that the original's queue held.
    for (let number = 0; number < 1000; number++) link.send(number);
    await clock.run(link.drained(0));
    expect(received).toEqual(Array.from({ length: 1000 }, (_, number) => number));
  });

  it("PT-8: a server knows a node it has never heard of, and blocks are counted, not nodes", async () => {
    const codecs = ["naive_ps.PSClient", "tutorial_codec.MyComCtrl"];
    for (const [script, ...args] of [
      ["ps", "--codec", codecs[0]!, "--sync", "asgd", "--rounds", "2"],
      ["p2p", "--codec", codecs[1]!, "-r", "2", "--assignment", "iid", "--rounds", "2"],
    ] as const) {
      const path = fileURLToPath(new URL(`dist/${script}_test_script.js`, import.meta.url));
      await using run = startNode([path, ...args]);
      expect((await run.exit()).code, run.output).toBe(0);
    }
  });

  it("PT-9: what comes over the network is plain data, whatever it wants to be", () => {
    /** The frame that `pack` makes of null, with other metadata. */
    const hostile = (metadata: Uint8Array): Uint8Array => {
      const frame = pack(null);
      const preamble = frame.slice(0, frame.length - 1);
      const view = new DataView(preamble.buffer);
      // The length of the metadata is the one field of the preamble that holds 1.
      for (let at = 0; at + 4 <= preamble.length; at += 4)
        if (view.getUint32(at, true) === 1) view.setUint32(at, metadata.length, true);
      return Buffer.concat([preamble, metadata]);
    };
    expect(unpack(hostile(Uint8Array.of(0x07)))).toBe(7);
    const ascii = (text: string): number[] => [...Buffer.from(text, "latin1")];
    for (const metadata of [
      // What msgpackr by itself would build: a record, an error, a regular expression, a set, a date, an unknown class.
      [0xd4, 0x72, 0x40, 0x91, 0xa1, ...ascii("a"), 0x01],
      [0xc7, 0x00, 0x65, 0x93, 0xa5, ...ascii("Error"), 0xa1, ...ascii("x"), 0xc0],
      [0xc7, 0x00, 0x78, 0x92, 0xa6, ...ascii("(a+)+$"), 0xa0],
      [0xd4, 0x73, 0x00],
      [0xd6, 0xff, 0x00, 0x00, 0x00, 0x00],
      [0xd4, 0x2a, 0x00],
      // A field that would change the prototype.
      [0x81, 0xa9, ...ascii("__proto__"), 0x81, 0xa8, ...ascii("polluted"), 0xc3],
    ]) {
      expect(() => unpack(hostile(Uint8Array.from(metadata)))).toThrow(/^WIRE_MALFORMED/);
    }
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
    // Code stays the text that it is.
    expect(unpack(pack({ type: "function", code: "process.exit(1)" }))).toEqual({
      type: "function",
      code: "process.exit(1)",
    });
  });

  it("PT-10: how long FedAvg trains locally and what clients count for are parameters", async () => {
    const path = fileURLToPath(new URL("dist/ps_test_script.js", import.meta.url));
    for (const [localSteps, roundCount] of [
      [1, 10],
      [5, 2],
      [150, 1],
    ]) {
      await using run = startNode([
        ...[path, "--codec", "fedavg.FedAvgClient", "--schedules", "1"],
        ...["--param", `local_steps=${localSteps}`, "--param", "weighting=samples"],
      ]);
      expect((await run.exit()).code, run.output).toBe(0);
      expect(run.stdout).toContain(`${8 * roundCount!} messages`);
    }
  });

  it("PT-11: Ctrl-C ends a job, and the submitter with it", async () => {
    await using job = submit("--node-count", "2", "--epochs", "100000");
    await job.waitFor("Group submission complete", 60_000);
    await job.kill("SIGINT");
    expect((await job.exit()).code, job.output).toBe(130);
  });

  it("PT-12: results of a job stay where they are when the same job runs again", async () => {
    const args = ["--node-count", "1", "--codec", "dummy.DummyCodec", "--steps", "2"];
    const contents = async (): Promise<Map<string, string>> => {
      const names = (await readdir(folder)).filter((name) => name.endsWith(".csv"));
      return new Map(
        await Promise.all(
          names.map(async (name) => [name, await readFile(join(folder, name), "utf8")] as const),
        ),
      );
    };
    {
      await using job = submit(...args);
      expect((await job.exit(60_000)).code, job.output).toBe(0);
    }
    const first = await contents();
    {
      await using job = submit(...args, "--seed", "2");
      expect((await job.exit(60_000)).code, job.output).toBe(0);
    }
    const second = await contents();
    expect(first.size).toBeGreaterThan(0);
    expect(second.size).toBeGreaterThan(first.size);
    for (const [name, text] of first) expect(second.get(name)).toBe(text);
  });

  it("PT-13: a server's answer fits the step of the node it goes to, however far nodes are apart", async () => {
    const report = await runCodecHarness({
      codec: Client,
      nodeCount: 3,
      rounds: 14,
      schedules: 10,
      agreement: "none",
    });
    expect(report.lateCount).toBe(0);
  });

  it("PT-14: a node that is out of step says so at once", async () => {
    class Hasty extends Codec {
      static override readonly carries = "gradients";
      override updateBlocks({ content }: BlockWeight): CodecReturn {
        if (this.nodeId === 0) this.setResult(content);
        return netEncapsulation(
          this.settings.nodes.filter((node) => node !== this.nodeId),
          content,
        );
      }
    }
    await expect(
      runCodecHarness({ codec: Hasty, nodeCount: 2, tolerance: Infinity }),
    ).rejects.toThrow(/^OUT_OF_STEP: message of step \d.*node 1 is at step 0/);
  });

  it("PT-15: a straggler at the merge costs a rescue, not the job", async () => {
    class Patient extends Codec {
      static override readonly carries = "weights";
      static override readonly server = Server;
      #message: NetEncapsulation | undefined;
      #isHeldBack = true;
      override updateBlocks({ content }: BlockWeight): CodecReturn {
        this.#message = netEncapsulation(PARAMETER_SERVER, [this.nodeId, content]);
        // Node 2 is too slow in its first step; the others wait longer than the time-out.
        if (this.nodeId === 2 && this.#isHeldBack) return undefined;
        return this.#message;
      }
      override onSyncTimeout(): CodecReturn {
        if (this.nodeId !== 2 || !this.#isHeldBack) return undefined;
        this.#isHeldBack = false;
        return this.#message;
      }
      override receiveBlocks(content: unknown): void {
        this.setResult(content as Float32Array);
      }
    }
    await runCodecHarness({ codec: Patient, nodeCount: 3, rounds: 3 });
  });

  it("PT-16: impossible assignments are refused at submit, with numbers that would do", async () => {
    expect(() => ASSIGNMENTS.duplicate({ nodeCount: 5, redundancy: 2 })).toThrow(
      /^ASSIGNMENT_INVALID: .*use 4 or 6 nodes/,
    );
    expect(() => ASSIGNMENTS.iid({ nodeCount: 40, redundancy: 20 })).toThrow(
      /^ASSIGNMENT_INVALID: .*at most 4096 blocks, got C\(40, 20\)/,
    );
    await using job = submit("-n", "5", "-r", "2", "--block-assignment", "duplicate");
    expect((await job.exit()).code).toBe(2);
    expect(job.output).toContain("ASSIGNMENT_INVALID");
  });
});

interface FinishedNode {
  readonly nodeId: NodeId;
  readonly state: string;
  readonly summary: { readonly evaluation?: unknown };
}
