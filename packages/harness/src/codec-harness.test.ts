import type { PsgdError } from "@psgd/core";
import {
  ASSIGNMENTS,
  Codec,
  PARAMETER_SERVER,
  isPsgdError,
  meanOf,
  netEncapsulation,
  type BlockId,
  type BlockWeight,
  type CodecClass,
  type CodecReturn,
  type ErrorCode,
  type NetEncapsulation,
  type NodeId,
} from "@psgd/core";
import { describe, expect, it } from "vitest";
import { runCodecHarness, type CodecHarnessOptions } from "./codec-harness.js";

type Blocks = [BlockId, Float32Array];

/** The mean of all blocks, peer to peer: right as it stands; each planted bug changes one thing. */
class Mean extends Codec {
  static override readonly carries: CodecClass["carries"] = "gradients";
  protected readonly blocks = new Map<BlockId, Float32Array>();

  override updateBlocks({ blockId, content }: BlockWeight): CodecReturn {
    this.keep([blockId, content]);
    return netEncapsulation(this.settings.nodesWithout(blockId), [blockId, content]);
  }

  override receiveBlocks(content: unknown): CodecReturn {
    this.keep(content as Blocks);
  }

  protected keep([blockId, content]: Blocks): void {
    this.blocks.set(blockId, content);
    if (this.blocks.size < this.settings.blockCount) return;
    this.setResult(this.combined());
    this.blocks.clear();
  }

  protected combined(): Float32Array {
    return meanOf(this.settings.blocks.map((id) => this.blocks.get(id)!));
  }
}

async function failureOf(
  codec: CodecClass,
  options: Partial<CodecHarnessOptions> = {},
): Promise<PsgdError> {
  // A short time for calls: some of these never end.
  const failure: unknown = await runCodecHarness({ codec, callTimeoutMs: 40, ...options }).then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(isPsgdError(failure), `found nothing: ${String(failure)}`).toBe(true);
  return failure as PsgdError;
}

describe("a codec that is wrong", () => {
  const bugs: { name: string; codec: CodecClass; code: ErrorCode; says: RegExp[] }[] = [
    {
      name: "forgets setResult",
      codec: class Forgetful extends Mean {
        override setResult(): void {}
      },
      code: "SYNC_TIMEOUT",
      says: [
        /result of round 0: expected on every node, got none on node 0, node 1, node 2, node 3/,
        /node 2 waits in round 0 for setResult of Forgetful, sent to node 0, node 1, node 3, heard node 0, node 1, node 3/,
        /must end in setResult/,
      ],
    },
    {
      name: "sends to all but one",
      codec: class Neglecting extends Mean {
        override updateBlocks(block: BlockWeight): CodecReturn {
          this.keep([block.blockId, block.content]);
          const others = this.settings.nodes.filter((node) => node !== this.nodeId && node !== 3);
          return netEncapsulation(others, [block.blockId, block.content]);
        }
      },
      code: "SYNC_TIMEOUT",
      says: [
        /got none on node 3, and nothing/,
        /node 3 waits in round 0 .* heard nobody/,
        /onSyncTimeout/,
      ],
    },
    {
      name: "only answers, as that of a server",
      codec: class Answering extends Mean {
        override updateBlocks(): void {}
      },
      code: "SYNC_TIMEOUT",
      says: [
        /no node has sent anything/,
        /If Answering only answers, .* name the codec of its nodes, and this one as `--server-codec`/,
      ],
    },
    {
      name: "never answers",
      codec: class Silent extends Mean {
        override receiveBlocks(): Promise<void> {
          return new Promise(() => {});
        }
      },
      code: "CODEC_TIMEOUT",
      says: [
        /receiveBlocks: expected an answer within 40 ms/,
        /codec Silent, node \d, step 0, message from node \d/,
        /--codec-timeout/,
      ],
    },
    {
      name: "waits in one call for the next one",
      codec: class SelfDeadlock extends Mean {
        readonly #arrived: (() => void)[] = [];
        override async updateBlocks({ content }: BlockWeight): Promise<void> {
          await new Promise<void>((resolve) => this.#arrived.push(resolve));
          this.setResult(content);
        }
        override receiveBlocks(): void {
          for (const resolve of this.#arrived) resolve();
        }
      },
      code: "CODEC_TIMEOUT",
      says: [/updateBlocks/, /node \d, step 0, block \d/, /must not wait for a later call/],
    },
    {
      name: "throws",
      codec: class Throwing extends Mean {
        override updateBlocks(block: BlockWeight): CodecReturn {
          if (block.step === 2 && this.nodeId === 1) throw new RangeError("no such thing");
          return super.updateBlocks(block);
        }
      },
      code: "CODEC_THREW",
      says: [/updateBlocks threw: no such thing; codec Throwing, node 1, step 2, block 1/],
    },
    {
      name: "rejects",
      codec: class Rejecting extends Mean {
        override async receiveBlocks(): Promise<void> {
          throw new Error("not today");
        }
      },
      code: "CODEC_THREW",
      says: [/receiveBlocks threw: not today; codec Rejecting, node \d, step 0/],
    },
    {
      name: "throws in its constructor",
      codec: class Unborn extends Mean {
        readonly factor = this.settings.param("factor");
      },
      code: "CODEC_THREW",
      says: [/constructor threw: SETTINGS_PARAM_MISSING/, /Unborn, node 0/, /--param factor=/],
    },
    {
      name: "sends to a node that is not there",
      codec: class Astray extends Mean {
        override updateBlocks(block: BlockWeight): CodecReturn {
          return netEncapsulation(block.step === 1 ? 4 : [], block.content);
        }
        override setResult(): void {}
        override get hasResult(): boolean {
          return true;
        }
        override takeResult(): Float32Array {
          return new Float32Array(this.layout.size);
        }
      },
      code: "CODEC_INVALID_TARGET",
      says: [/expected a node id 0\.\.3, got 4/, /Astray, node \d, step 1/, /settings\.nodes/],
    },
    {
      name: "sends to a parameter server that the job does not have",
      codec: class Orphan extends Mean {
        override updateBlocks({ content }: BlockWeight): CodecReturn {
          return netEncapsulation(PARAMETER_SERVER, content);
        }
      },
      code: "CODEC_INVALID_TARGET",
      says: [/got -2/, /node \d, step 0/, /--server-codec/],
    },
    {
      name: "returns a vector instead of an envelope",
      codec: class Bare extends Mean {
        override updateBlocks({ content }: BlockWeight): CodecReturn {
          return [content] as unknown as NetEncapsulation[];
        }
      },
      code: "CODEC_INVALID_RETURN",
      says: [/updateBlocks: expected nothing, a netEncapsulation/, /node \d, step 0/, /wrap what/],
    },
    {
      name: "sends what cannot be packed",
      codec: class Unpackable extends Mean {
        override updateBlocks({ blockId }: BlockWeight): CodecReturn {
          return netEncapsulation(this.settings.nodesWithout(blockId), [blockId, () => 1]);
        }
      },
      code: "PAYLOAD_UNPACKABLE",
      says: [
        /`message\.content\[1\]`: expected a packable value, got a function/,
        /node \d, step 0/,
        /send/,
      ],
    },
    {
      name: "sums in order of arrival",
      codec: class Arriving extends Mean {
        protected override combined(): Float32Array {
          const sum = new Float32Array(this.layout.size);
          for (const block of this.blocks.values()) {
            for (const [i, value] of block.entries()) sum[i]! += value / this.blocks.size;
          }
          return sum;
        }
      },
      code: "CODEC_WRONG_RESULT",
      says: [/expected the same bits on every node/, /round 0: .* on node \d/, /`meanOf`/],
    },
    {
      name: "leaves a block out",
      codec: class Omitting extends Mean {
        protected override combined(): Float32Array {
          return meanOf(this.settings.blocks.slice(1).map((id) => this.blocks.get(id)!));
        }
      },
      code: "CODEC_WRONG_RESULT",
      says: [/result of round 0: expected the mean of all blocks/, /node 0/, /left out/],
    },
    {
      name: "counts a block twice",
      codec: class Doubling extends Mean {
        protected override combined(): Float32Array {
          return meanOf([...this.settings.blocks, 2].map((id) => this.blocks.get(id)!));
        }
      },
      code: "CODEC_WRONG_RESULT",
      says: [/round 0: expected the mean/, /node 0/, /counted twice/],
    },
    {
      name: "mixes two rounds",
      codec: class Mixing extends Mean {
        #last: Float32Array | undefined;
        protected override combined(): Float32Array {
          const mean = super.combined();
          const mixed = meanOf([this.#last ?? mean, mean]);
          this.#last = mean;
          return mixed;
        }
      },
      code: "CODEC_WRONG_RESULT",
      says: [/result of round 1: expected the mean/, /node 0/, /of another round/],
    },
    {
      name: "answers every message with another",
      codec: class PingPong extends Mean {
        override receiveBlocks(content: unknown): CodecReturn {
          return netEncapsulation((this.nodeId + 1) % this.settings.nodeCount, content);
        }
      },
      code: "SYNC_TIMEOUT",
      says: [/expected after fewer than \d+ messages/, /node \d in round 0/, /answer each other/],
    },
    {
      name: "yields without end",
      codec: class Endless extends Mean {
        override *updateBlocks({ content }: BlockWeight): Generator<NetEncapsulation> {
          for (;;) yield netEncapsulation(0, content.subarray(0, 1));
        }
      },
      code: "SYNC_TIMEOUT",
      says: [/codec Endless, node \d, step 0/, /generators that never return/],
    },
    {
      name: "makes numbers that are none",
      codec: class Dividing extends Mean {
        protected override combined(): Float32Array {
          const mean = super.combined();
          mean[3] = 0 / (this.settings.redundancy - 1);
          return mean;
        }
      },
      code: "NOT_FINITE",
      says: [/result of round 0: expected finite numbers, got NaN at 3/, /node 0/, /divisions by/],
    },
    {
      name: "gives results of another length",
      codec: class Short extends Mean {
        protected override combined(): Float32Array {
          return super.combined().subarray(1);
        }
      },
      code: "CODEC_THREW",
      says: [/SHAPE_MISMATCH: .*expected 19 values, got 18/, /Short, node \d, step 0/],
    },
    {
      name: "changes the weights",
      codec: class Meddling extends Mean {
        override updateBlocks(block: BlockWeight): CodecReturn {
          if (this.nodeId === 2) (this.weights as Float32Array)[0] = 0;
          return super.updateBlocks(block);
        }
      },
      code: "CODEC_WRONG_RESULT",
      says: [/`this\.weights` in round 0: expected it untouched/, /node 2/, /`slice\(\)`/],
    },
    {
      name: "cannot be disposed of twice",
      codec: class Once extends Mean {
        #isOpen = true;
        override dispose(): void {
          if (!this.#isOpen) throw new Error("closed already");
          this.#isOpen = false;
        }
      },
      code: "CODEC_THREW",
      says: [/dispose threw: closed already; codec Once, node 0/],
    },
  ];

  it.each(bugs)("is found where it $name", async ({ codec, code, says }) => {
    const failure = await failureOf(codec, { schedules: 3, seed: 11 });
    expect(failure.code, failure.message).toBe(code);
    for (const text of says) expect(failure.message).toMatch(text);
    expect(failure.message).toMatch(/; seed 11, schedule \d$/);
    expect(failure.details).toMatchObject({ seed: 11 });
  });

  it("is found where results depend on the order of messages, although all nodes agree", async () => {
    class FirstComes extends Mean {
      protected override combined(): Float32Array {
        // Node 0 decides by what came first; the others are told by a message.
        const first = [...this.blocks.keys()][1]!;
        return this.blocks.get(first)!;
      }
      override updateBlocks(block: BlockWeight): CodecReturn {
        this.blocks.set(block.blockId, block.content);
        return netEncapsulation(0, [block.blockId, block.content]);
      }
      override receiveBlocks(content: unknown): CodecReturn {
        const [blockId, block] = content as Blocks;
        if (this.nodeId !== 0) {
          this.blocks.clear();
          this.setResult(block);
          return undefined;
        }
        this.blocks.set(blockId, block);
        if (this.blocks.size < this.settings.blockCount) return undefined;
        const first = this.combined();
        this.blocks.clear();
        this.setResult(first);
        return netEncapsulation([1, 2, 3], [-1, first]);
      }
    }
    const failure = await failureOf(FirstComes, { schedules: 20, tolerance: Infinity });
    expect(failure.message).toMatch(
      /^CODEC_WRONG_RESULT: result of round \d: expected the same bits in whatever order messages arrive/,
    );
  });

  it("is found where a server keeps two rounds apart by their order only", async () => {
    class Impatient extends Codec {
      static override readonly carries = "weights";
      #sum: Float32Array[] = [];
      override receiveBlocks(content: unknown): CodecReturn {
        this.#sum.push(content as Float32Array);
        if (this.#sum.length < this.settings.nodeCount - 1) return undefined;
        const mean = meanOf(this.#sum);
        this.#sum = [];
        return netEncapsulation(this.settings.nodes, mean);
      }
    }
    const failure = await failureOf(Client, { serverCodec: Impatient, schedules: 10 });
    expect(["SYNC_TIMEOUT", "CODEC_WRONG_RESULT"]).toContain(failure.code);
  });

  it("runs into the synchronous limit where it does not wait for its peers", async () => {
    class Hasty extends Mean {
      override updateBlocks({ blockId, content }: BlockWeight): CodecReturn {
        if (this.nodeId === 0) this.setResult(content.slice());
        return netEncapsulation(this.settings.nodesWithout(blockId), [blockId, content]);
      }
      override receiveBlocks(content: unknown): CodecReturn {
        if (this.nodeId !== 0 && (content as Blocks)[0] === 0)
          this.setResult((content as Blocks)[1]);
      }
    }
    const failure = await failureOf(Hasty, { schedules: 10, tolerance: Infinity });
    expect(failure.message).toMatch(
      /^OUT_OF_STEP: message of step \d: .* got it from node \d; node \d is at step \d; .*seed 1/,
    );
  });
});

/** Sends what it has to the parameter server, and takes what comes back. */
class Client extends Codec {
  static override readonly carries: CodecClass["carries"] = "weights";

  override updateBlocks({ content }: BlockWeight): NetEncapsulation {
    return netEncapsulation(PARAMETER_SERVER, content);
  }

  override receiveBlocks(content: unknown): void {
    this.setResult(content as Float32Array);
  }
}

/** Waits for all clients of a step; they say who they are. */
class AveragingServer extends Codec {
  static override readonly carries = "weights";
  readonly #byNode = new Map<NodeId, Float32Array>();

  override receiveBlocks(content: unknown): NetEncapsulation | undefined {
    const [node, weights] = content as [NodeId, Float32Array];
    this.#byNode.set(node, weights);
    if (this.#byNode.size < this.settings.nodeCount) return undefined;
    const mean = meanOf(this.settings.nodes.map((each) => this.#byNode.get(each)!));
    this.#byNode.clear();
    return netEncapsulation(this.settings.nodes, mean);
  }
}

class NamedClient extends Client {
  static override readonly server: CodecClass = AveragingServer;

  override updateBlocks({ content }: BlockWeight): NetEncapsulation {
    return netEncapsulation(PARAMETER_SERVER, [this.nodeId, content]);
  }
}

/** Answers each gradient with the sum of what came since the node's last answer. */
class DownpourServer extends Codec {
  static override readonly carries = "gradients";
  readonly #sum = new Float32Array(this.layout.size);
  readonly #seen = new Map<NodeId, Float32Array>();

  override receiveBlocks(content: unknown): NetEncapsulation {
    const [node, gradient] = content as [NodeId, Float32Array];
    for (const [i, value] of gradient.entries()) this.#sum[i]! += value;
    const seen = this.#seen.get(node);
    this.#seen.set(node, this.#sum.slice());
    return netEncapsulation(
      node,
      this.#sum.map((value, i) => value - (seen?.[i] ?? 0)),
    );
  }
}

class DownpourClient extends NamedClient {
  static override readonly carries = "gradients";
  static override readonly server = DownpourServer;
}

/** Blocks go once around: each node passes on what it gets, until the next would be where it came from. */
class Ring extends Mean {
  override updateBlocks({ blockId, content }: BlockWeight): NetEncapsulation | undefined {
    this.keep([blockId, content]);
    return this.#pass([blockId, content]);
  }

  override receiveBlocks(content: unknown): NetEncapsulation | undefined {
    const [blockId] = content as Blocks;
    const isAtEnd = this.#next === blockId;
    const forwarded = isAtEnd ? undefined : this.#pass(content as Blocks);
    this.keep(content as Blocks);
    return forwarded;
  }

  get #next(): NodeId {
    return (this.nodeId + 1) % this.settings.nodeCount;
  }

  #pass(blocks: Blocks): NetEncapsulation | undefined {
    return this.settings.nodeCount === 1 ? undefined : netEncapsulation(this.#next, blocks);
  }
}

describe("a codec that is right", () => {
  it.each([
    { nodeCount: 1 },
    { nodeCount: 2 },
    { nodeCount: 5, schedules: 5 },
    { nodeCount: 4, redundancy: 2 },
    { nodeCount: 4, redundancy: 2, assignment: ASSIGNMENTS.duplicate },
    { nodeCount: 3, redundancy: 3 },
    { nodeCount: 3, perTensor: true },
  ])("passes peer to peer in ssgd: %o", async (options) => {
    // With redundancy a block may come twice, and once more when its round is over.
    class Tagged extends Mean {
      #step = -1;
      #isComplete = false;
      override updateBlocks(block: BlockWeight): CodecReturn {
        if (block.step !== this.#step) this.#isComplete = false;
        this.#step = block.step;
        return super.updateBlocks(block);
      }
      protected override keep(blocks: Blocks): void {
        if (this.#isComplete) return;
        super.keep(blocks);
        this.#isComplete = this.hasResult;
      }
    }
    const report = await runCodecHarness({ codec: Tagged, schedules: 4, ...options });
    expect(report).toMatchObject({ seed: 1, rounds: 10, nodeCount: options.nodeCount });
  });

  it("passes by forwarding around a ring", async () => {
    for (const nodeCount of [1, 2, 3, 5]) {
      const report = await runCodecHarness({ codec: Ring, nodeCount, rounds: 4, schedules: 8 });
      // Each block takes n − 1 hops.
      expect(report.messageCount).toBe(4 * nodeCount * (nodeCount - 1));
    }
  });

  it("passes with a parameter server in ssgd and asgd", async () => {
    for (const sync of ["ssgd", "asgd"] as const) {
      const report = await runCodecHarness({ codec: NamedClient, sync, schedules: 5 });
      expect(report.messageCount).toBe(10 * (4 + 4));
    }
    const report = await runCodecHarness({ codec: DownpourClient, sync: "asgd", schedules: 5 });
    expect(report.maxStaleness).toBeGreaterThan(0);
  });

  it("passes where clients of a parameter server also talk to each other", async () => {
    class Gossiping extends NamedClient {
      static heard = 0;
      override updateBlocks(block: BlockWeight): NetEncapsulation {
        return super.updateBlocks(block);
      }
      override receiveBlocks(content: unknown): NetEncapsulation | undefined {
        if (content === "hello") {
          Gossiping.heard++;
          return undefined;
        }
        super.receiveBlocks(content);
        return netEncapsulation((this.nodeId + 1) % this.settings.nodeCount, "hello");
      }
    }
    await runCodecHarness({ codec: Gossiping, sync: "asgd" });
    expect(Gossiping.heard).toBe(40);
  });

  it("passes peer to peer in asgd", async () => {
    class Gossip extends Codec {
      static override readonly carries = "gradients";
      override updateBlocks({ content, blockId }: BlockWeight): NetEncapsulation {
        this.setResult(content);
        return netEncapsulation(this.settings.nodesWithout(blockId), content);
      }
      override receiveBlocks(content: unknown): void {
        this.setResult(content as Float32Array);
      }
    }
    const report = await runCodecHarness({ codec: Gossip, sync: "asgd", schedules: 5 });
    expect(report).toMatchObject({ messageCount: 10 * 4 * 3, lateCount: 0 });
  });

  it("may take its time, and is rescued by sending again what was held back", async () => {
    class Shy extends Mean {
      static rescues = 0;
      #own: NetEncapsulation | undefined;
      override async updateBlocks({ blockId, content }: BlockWeight): Promise<undefined> {
        await new Promise((resolve) => setTimeout(resolve, 1));
        this.#own = netEncapsulation(this.settings.nodesWithout(blockId), [blockId, content]);
        this.keep([blockId, content]);
      }
      override async *onSyncTimeout(): AsyncGenerator<NetEncapsulation> {
        Shy.rescues++;
        yield this.#own!;
      }
    }
    const lines: string[] = [];
    const log = (line: string): void => void lines.push(line);
    await runCodecHarness({
      codec: Shy,
      nodeCount: 3,
      rounds: 2,
      log: { info: log, warn: log, error: log },
    });
    expect(Shy.rescues).toBe(6);
    expect(lines).toContain("Timeout occurred while get the result from worker 2.");
    expect(lines).toContain("----------- Node:2 Backup to 0 successful -----------");
    expect(lines).toContain("-----------Test complete 2/2 -----------");
  });

  it("tells what it counted, and the same again with the same seed", async () => {
    const run = (seed: number) =>
      runCodecHarness({ codec: DownpourClient, sync: "asgd", seed, schedules: 3 });
    const first = await run(5);
    expect(await run(5)).toEqual(first);
    const others = await Promise.all([6, 7, 8, 9].map(run));
    expect(others.some(({ maxStaleness }) => maxStaleness !== first.maxStaleness)).toBe(true);
  });
});

describe("the verdict on a deadlock", () => {
  it.each([
    [() => undefined, "Timeout occurred and retry mechanism is not available."],
    [() => netEncapsulation(0, "again"), "Decode timeout."],
  ])("is said in the seed's words %#", async (onSyncTimeout, words) => {
    class Stuck extends Codec {
      static override readonly carries = "gradients";
      override onSyncTimeout(): CodecReturn {
        return onSyncTimeout();
      }
    }
    const errors: string[] = [];
    const log = { info: () => {}, warn: () => {}, error: (line: string) => void errors.push(line) };
    await failureOf(Stuck, { log });
    expect(errors).toEqual([words]);
  });
});

describe("what cannot be run", () => {
  it.each([
    [{ nodeCount: 0 }, "ASSIGNMENT_INVALID"],
    [{ redundancy: 5 }, "ASSIGNMENT_INVALID"],
    [{ nodeCount: 3, redundancy: 2, assignment: ASSIGNMENTS.duplicate }, "ASSIGNMENT_INVALID"],
    [{ rounds: 0 }, "SETTINGS_INVALID"],
    [{ schedules: 1.5 }, "SETTINGS_INVALID"],
    [{ serverCodec: AveragingServer }, "PAIRING_INVALID"],
  ] as const)("is refused before it starts: %o", async (options, code) => {
    expect((await failureOf(Mean, options)).code).toBe(code);
  });
});
