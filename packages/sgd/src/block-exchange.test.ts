import {
  ASSIGNMENTS,
  Codec,
  PARAMETER_SERVER,
  PsgdError,
  createSettings,
  layoutOf,
  layoutOfTensor,
  netEncapsulation,
  seededRandom,
  SILENT,
  type BlockWeight,
  type CodecReturn,
  type NodeId,
  type StepRole,
} from "@psgd/core";
import { describe, expect, it } from "vitest";
import { BlockExchange, type BlockMessage, type ExchangeCodec } from "./block-exchange.js";
import { CodecActor } from "./codec-actor.js";
import { SYNC_POLICIES, asynchronousSgd, type SyncPolicyName } from "./sync-policy.js";
import { HandClock } from "./testing/hand-clock.js";

const layout = layoutOf([
  { name: "w", shape: [2] },
  { name: "b", shape: [1] },
]);

/** What the codec of a test does; `this` is the codec. */
interface Behaviour {
  readonly update?: (this: Codec, block: BlockWeight) => CodecReturn;
  readonly receive?: (this: Codec, content: unknown) => CodecReturn;
  readonly rescue?: (this: Codec) => CodecReturn;
  readonly listen?: (this: Codec, step: number) => CodecReturn;
  readonly role?: (this: Codec, step: number, nodeId: NodeId) => StepRole;
}

interface Setup {
  readonly exchange: BlockExchange;
  readonly codecs: readonly Codec[];
  readonly clock: HandClock;
  readonly posted: (BlockMessage & { to: NodeId })[];
  readonly failures: PsgdError[];
  readonly log: string[];
  /** Lets a whole time-out pass. */
  readonly timeOut: () => Promise<void>;
}

function setup(
  behaviour: Behaviour,
  options: {
    nodeId?: NodeId;
    sync?: SyncPolicyName;
    perTensor?: boolean;
    isConnected?: () => boolean;
    redundancy?: number;
  } = {},
): Setup {
  const { nodeId = 0, sync = "ssgd", redundancy = 1 } = options;
  const clock = new HandClock();
  const posted: (BlockMessage & { to: NodeId })[] = [];
  const failures: PsgdError[] = [];
  const log: string[] = [];
  const say = (line: string): void => void log.push(line);
  class Behaving extends Codec {
    override updateBlocks(block: BlockWeight): CodecReturn {
      return behaviour.update?.call(this, block);
    }
    override receiveBlocks(content: unknown): CodecReturn {
      return behaviour.receive?.call(this, content);
    }
    override onSyncTimeout(): CodecReturn {
      return behaviour.rescue?.call(this);
    }
    override onListen(step: number): CodecReturn {
      return behaviour.listen?.call(this, step);
    }
    override roleIn(step: number, nodeId: NodeId): StepRole {
      return behaviour.role?.call(this, step, nodeId) ?? "train";
    }
  }
  const codecs = (options.perTensor === true ? layout.tensors : [undefined]).map(
    (tensor): ExchangeCodec => {
      const codec = new Behaving({
        nodeId,
        settings: createSettings({
          assignment: ASSIGNMENTS.iid({ nodeCount: 3, redundancy: 1 }),
          batchSize: 1,
          stepCount: 100,
          parameters: {},
        }),
        layout: tensor === undefined ? layout : layoutOfTensor(tensor),
        random: seededRandom(1),
        log: SILENT,
        currentWeights: () => new Float32Array(3),
        learningRate: () => 1,
      });
      const actor = new CodecActor({
        codec,
        nodeCount: 3,
        hasServer: true,
        clock,
        callTimeoutMs: 1e9,
      });
      return { actor, tensor };
    },
  );
  const exchange = new BlockExchange({
    nodeId,
    workers: [0, 1, 2],
    layout,
    codecs,
    policy:
      nodeId === PARAMETER_SERVER
        ? asynchronousSgd()
        : SYNC_POLICIES[sync]({ nodeCount: 2, redundancy, staleness: 2 }),
    clock,
    syncTimeoutMs: 10_000,
    isConnected: options.isConnected ?? (() => true),
    post: (to, message) => void posted.push({ to, ...message }),
    onFailure: (error) => void failures.push(error),
    log: { info: say, warn: say, error: say },
  });
  return {
    exchange,
    codecs: codecs.map(({ actor }) => actor.codec),
    clock,
    posted,
    failures,
    log,
    timeOut: async () => {
      for (let slice = 0; slice < 10; slice++) {
        await settled();
        clock.ring();
      }
      await settled();
    },
  };
}

/** Everything that promises can do is done. */
const settled = (): Promise<void> => new Promise(setImmediate);

function message(step: number, content: unknown, rest: Partial<BlockMessage> = {}): BlockMessage {
  return { variableId: 0, step, version: step, baseVersion: step, content, ...rest };
}

function block(step: number, content = [1, 2, 3]): BlockWeight {
  return { content: Float32Array.from(content), blockId: 0, step, sampleCount: 1, layout };
}

async function failureOf(work: Promise<unknown>): Promise<PsgdError> {
  const failure: unknown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(failure).toBeInstanceOf(PsgdError);
  return failure as PsgdError;
}

/** Takes what comes as its result. */
const taking: Behaviour = {
  receive(content) {
    this.setResult(content as number[]);
  },
};

describe("a node that does not train in a step", () => {
  it("listens: asks in that step, and waits for its result", async () => {
    const { exchange, posted } = setup({
      ...taking,
      listen: (step) => netEncapsulation(PARAMETER_SERVER, ["model of", step]),
    });
    await exchange.listen(4);
    expect(posted.map(({ to, step, content }) => [to, step, content])).toEqual([
      [PARAMETER_SERVER, 4, ["model of", 4]],
    ]);
    const result = exchange.pull(4);
    exchange.accept(PARAMETER_SERVER, message(4, [7, 8, 9]));
    expect([...(await result)]).toEqual([7, 8, 9]);
  });

  it("rests: what comes for the step is late, what comes for the next is held", async () => {
    const { exchange, codecs } = setup(taking);
    exchange.rest(0);
    exchange.accept(1, message(0, [1, 1, 1]));
    exchange.accept(1, message(1, [2, 2, 2]));
    exchange.rest(1);
    exchange.accept(1, message(2, [3, 3, 3]));
    await settled();
    expect(codecs[0]!.hasResult).toBe(false);
    expect(exchange.counts.late).toBe(2);
    await exchange.push(2, [block(2)]);
    expect([...(await exchange.pull(2))]).toEqual([3, 3, 3]);
  });

  it("waits as long for the steps that it rested in as it would have in each", async () => {
    const { exchange, timeOut } = setup(taking);
    for (const step of [0, 1, 2]) exchange.rest(step);
    await exchange.listen(3);
    const failure = failureOf(exchange.pull(3));
    let hasEnded = false;
    void failure.then(() => (hasEnded = true));
    for (let time = 0; time < 7; time++) await timeOut();
    expect(hasEnded).toBe(false);
    await timeOut();
    expect((await failure).message).toContain("result of step 3: expected within 40000 ms");
  });

  it("is told so by all codecs of the model alike, or nobody goes on", () => {
    const sampled = setup({
      role: (step, nodeId) => (step % 3 === nodeId ? "train" : "rest"),
    }).exchange;
    expect([0, 1, 2].map((node) => sampled.roleIn(4, node))).toEqual(["rest", "train", "rest"]);
    const { exchange } = setup(
      {
        role() {
          return this.layout.size === 2 ? "train" : "rest";
        },
      },
      { perTensor: true },
    );
    expect(() => exchange.roleIn(0, 0)).toThrow(
      /^PAIRING_INVALID: role of node 0 in step 0: expected one from all codecs of the model, got train and rest/,
    );
    const throwing = setup({
      role: () => {
        throw new Error("no idea");
      },
    }).exchange;
    expect(() => throwing.roleIn(3, 1)).toThrow(/^CODEC_THREW: roleIn threw: no idea; .*step 3/);
  });
});

describe("push and pull in ssgd", () => {
  it("hand out blocks as the codec's own, and what it sends with step and version", async () => {
    const { exchange, posted } = setup({
      update({ content }) {
        this.setResult([0, 0, 0]);
        return netEncapsulation([1, 2], content);
      },
    });
    for (const step of [0, 1]) {
      await exchange.push(step, [block(step)]);
      expect([...(await exchange.pull(step))]).toEqual([0, 0, 0]);
    }
    expect(
      posted.map(({ to, step, version, variableId }) => [to, step, version, variableId]),
    ).toEqual([
      [1, 0, 0, 0],
      [2, 0, 0, 0],
      [1, 1, 1, 0],
      [2, 1, 1, 0],
    ]);
  });

  it("hold what comes before the step waits, and deliver it in the order of arrival", async () => {
    const seen: unknown[] = [];
    const { exchange } = setup({
      receive(content) {
        seen.push(content);
        if (seen.length === 3) this.setResult([1, 1, 1]);
      },
    });
    exchange.accept(1, message(0, "early"));
    await exchange.push(0, [block(0)]);
    exchange.accept(2, message(0, "during"));
    await settled();
    expect(seen).toEqual([]);
    const pulled = exchange.pull(0);
    await settled();
    exchange.accept(1, message(0, "then"));
    await pulled;
    expect(seen).toEqual(["early", "during", "then"]);
    expect(exchange.counts).toMatchObject({ delivered: 3, late: 0 });
  });

  it("keep a message of the next step for it, over the end of this one", async () => {
    const { exchange } = setup(taking);
    await exchange.push(0, []);
    const first = exchange.pull(0);
    exchange.accept(1, message(1, [7, 7, 7]));
    exchange.accept(1, message(0, [5, 5, 5]));
    expect([...(await first)]).toEqual([5, 5, 5]);
    await exchange.push(1, []);
    expect([...(await exchange.pull(1))]).toEqual([7, 7, 7]);
  });

  it("count what comes after its step is complete, and never hand it over", async () => {
    const { exchange } = setup(taking);
    await exchange.push(0, []);
    const first = exchange.pull(0);
    // The second comes while the step still waits, but the codec has its result.
    for (const value of [1, 2]) exchange.accept(1, message(0, [value, value, value]));
    expect([...(await first)]).toEqual([1, 1, 1]);
    exchange.accept(2, message(0, [3, 3, 3]));
    await exchange.push(1, []);
    const second = exchange.pull(1);
    exchange.accept(2, message(0, [4, 4, 4]));
    exchange.accept(2, message(1, [5, 5, 5]));
    expect([...(await second)]).toEqual([5, 5, 5]);
    expect(exchange.counts).toMatchObject({ delivered: 2, late: 3 });
  });

  it("never mix steps, in whatever order two peers' messages come", async () => {
    const stepCount = 20;
    for (let seed = 0; seed < 50; seed++) {
      const random = seededRandom(seed);
      let heard: number[] = [];
      const { exchange } = setup({
        receive(content) {
          heard.push(content as number);
          if (heard.length < 2) return;
          this.setResult([...heard.sort((a, b) => a - b), 0]);
          heard = [];
        },
      });
      const results: number[][] = [];
      const training = (async () => {
        for (let step = 0; step < stepCount; step++) {
          await exchange.push(step, []);
          results.push([...(await exchange.pull(step))]);
        }
      })();
      // Each peer sends its steps in order, and is at most one ahead.
      const next = [0, 0];
      while (next.some((step) => step < stepCount)) {
        const peer = random.uint32() % 2;
        const step = next[peer]!;
        const isFree = step < stepCount && step <= results.length + 1;
        if (isFree) {
          next[peer]!++;
          exchange.accept(peer + 1, message(step, 100 * peer + step));
        }
        if (!isFree || random.uint32() % 2 === 0) await settled();
      }
      await training;
      const expected = Array.from({ length: stepCount }, (_, step) => [step, 100 + step, 0]);
      expect(results, `seed ${seed}`).toEqual(expected);
    }
  });

  it("let a call run to its end before the result is taken, and send what it sends as of its step", async () => {
    let goOn = (): void => {};
    const { exchange, posted } = setup({
      async *receive() {
        this.setResult([1, 1, 1]);
        await new Promise<void>((resolve) => (goOn = resolve));
        yield netEncapsulation(1, "more");
        this.setResult([1, 1, 1]);
      },
    });
    await exchange.push(0, []);
    let isDone = false;
    const pulled = exchange.pull(0).finally(() => (isDone = true));
    exchange.accept(1, message(0, ""));
    await settled();
    expect(isDone).toBe(false);
    goOn();
    expect([...(await pulled)]).toEqual([2, 2, 2]);
    expect(posted).toMatchObject([{ to: 1, step: 0, version: 0 }]);
  });

  it("fail with a message of a step that cannot be, at once and from then on (PX-05)", async () => {
    const { exchange, failures } = setup(taking);
    await exchange.push(0, []);
    const pulled = exchange.pull(0);
    exchange.accept(1, message(1, [0, 0, 0]));
    exchange.accept(1, message(2, [0, 0, 0]));
    expect((await failureOf(pulled)).message).toMatch(
      /^OUT_OF_STEP: message of step 2: expected messages of at most 1 steps ahead, got it from node 1; node 0 is at step 0/,
    );
    expect((await failureOf(exchange.push(1, []))).code).toBe("OUT_OF_STEP");
    exchange.accept(1, message(9, [0, 0, 0]));
    await settled();
    expect(failures.map(({ code }) => code)).toEqual(["OUT_OF_STEP"]);
  });

  it("hold what a peer sends far ahead after steps of its own, one step of messages at a time", async () => {
    const { exchange, failures } = setup(taking);
    await exchange.push(0, []);
    exchange.accept(1, message(0, [1, 1, 1]));
    exchange.accept(1, message(7, [2, 2, 2]));
    expect([...(await exchange.pull(0))]).toEqual([1, 1, 1]);
    await exchange.push(7, []);
    exchange.accept(1, message(14, [3, 3, 3]));
    expect([...(await exchange.pull(7))]).toEqual([2, 2, 2]);
    expect(failures).toEqual([]);
    exchange.accept(1, message(21, [4, 4, 4]));
    await settled();
    expect(failures.map(({ code }) => code)).toEqual(["OUT_OF_STEP"]);
  });

  it("hold many steps of a peer where redundancy lets it run ahead", async () => {
    const { exchange } = setup(taking, { redundancy: 2 });
    for (let step = 0; step < 200; step++) exchange.accept(1, message(step, [step, 0, 0]));
    for (let step = 0; step < 200; step++) {
      await exchange.push(step, []);
      expect((await exchange.pull(step))[0]).toBe(step);
    }
  });

  it("fail with the first thing that went wrong, wherever they are", async () => {
    const lost = new PsgdError("NODE_LOST", "node 1: gone");
    const { exchange, failures } = setup({
      receive() {
        throw new Error("later");
      },
    });
    await exchange.push(0, []);
    const pulled = exchange.pull(0);
    exchange.fail(lost);
    expect(await failureOf(pulled)).toBe(lost);
    exchange.accept(1, message(0, ""));
    await settled();
    expect(failures).toEqual([lost]);
    expect(await failureOf(exchange.pull(1))).toBe(lost);
  });

  it("fail with what the codec threw", async () => {
    const thrower = setup({
      update() {
        throw new Error("planted");
      },
      receive() {
        throw new Error("planted too");
      },
    });
    expect((await failureOf(thrower.exchange.push(0, [block(0)]))).code).toBe("CODEC_THREW");
    const pulled = thrower.exchange.pull(0);
    thrower.exchange.accept(2, message(0, ""));
    expect((await failureOf(pulled)).message).toMatch(/planted too; .*message from node 2$/);
    expect(thrower.failures.length).toBe(1);
  });
});

describe("a time-out", () => {
  it("calls the rescue hook once, says whom it sends to, and gives the step as much time again", async () => {
    let rescues = 0;
    const { exchange, posted, log, timeOut } = setup({
      ...taking,
      rescue() {
        rescues++;
        return netEncapsulation([1, PARAMETER_SERVER], "again");
      },
    });
    await exchange.push(0, []);
    const pulled = exchange.pull(0);
    await timeOut();
    expect(rescues).toBe(1);
    expect(posted.map(({ to, step, content }) => [to, step, content])).toEqual([
      [1, 0, "again"],
      [-2, 0, "again"],
    ]);
    expect(log).toEqual(["Message retry to node 1", "Message retry to parameter server"]);
    exchange.accept(1, message(0, [1, 2, 3]));
    expect([...(await pulled)]).toEqual([1, 2, 3]);
    // The next step has a rescue of its own.
    await exchange.push(1, []);
    const next = exchange.pull(1);
    await timeOut();
    expect(rescues).toBe(2);
    exchange.accept(1, message(1, [0, 0, 0]));
    await next;
  });

  it("ends the step the second time, naming who was heard last", async () => {
    let rescues = 0;
    const { exchange, log, timeOut } = setup({
      rescue: () => {
        rescues++;
      },
    });
    await exchange.push(0, []);
    const failure = failureOf(exchange.pull(0));
    exchange.accept(2, message(0, "of no use"));
    await timeOut();
    await timeOut();
    expect((await failure).message).toBe(
      "SYNC_TIMEOUT: result of step 0: expected within 10000 ms, got none, also after onSyncTimeout; node 0, codec Behaving; " +
        "last heard: node 2 at step 0; each step must end in setResult on every node; raise `--sync-timeout` if a peer is only slow",
    );
    expect(rescues).toBe(1);
    expect(log).toEqual(["Time out while getting result, retry not available."]);
  });

  it("may be ended by the rescue itself", async () => {
    const { exchange, log, timeOut } = setup({
      rescue() {
        this.setResult([4, 4, 4]);
      },
    });
    await exchange.push(0, []);
    const pulled = exchange.pull(0);
    await timeOut();
    expect([...(await pulled)]).toEqual([4, 4, 4]);
    expect(log).toEqual([]);
  });

  it("is not prolonged by peers that talk on", async () => {
    let rescues = 0;
    const { exchange, clock } = setup({
      rescue: () => {
        rescues++;
      },
    });
    await exchange.push(0, []);
    void exchange.pull(0).catch(() => {});
    for (let slice = 0; slice < 10; slice++) {
      exchange.accept(1, message(0, slice));
      await settled();
      clock.ring();
    }
    await settled();
    expect(rescues).toBe(1);
  });

  it("does not count time without a connection", async () => {
    let rescues = 0;
    let isConnected = false;
    const { exchange, timeOut } = setup(
      {
        rescue: () => {
          rescues++;
        },
      },
      { isConnected: () => isConnected },
    );
    await exchange.push(0, []);
    void exchange.pull(0).catch(() => {});
    for (let times = 0; times < 5; times++) await timeOut();
    expect(rescues).toBe(0);
    isConnected = true;
    await timeOut();
    await timeOut();
    expect(rescues).toBe(1);
  });

  it("leaves no timer behind", async () => {
    const { exchange, clock } = setup(taking);
    await exchange.push(0, []);
    const pulled = exchange.pull(0);
    exchange.accept(1, message(0, [0, 0, 0]));
    await pulled;
    expect(clock.timerCount).toBe(0);
  });
});

describe("asgd", () => {
  it("hands messages over on arrival, of any step, whatever this node does (PX-06)", async () => {
    const seen: unknown[] = [];
    const { exchange } = setup({ receive: (content) => void seen.push(content) }, { sync: "asgd" });
    exchange.accept(1, message(70, "a"));
    await exchange.push(3, []);
    exchange.accept(2, message(0, "b"));
    await settled();
    expect(seen).toEqual(["a", "b"]);
    expect(exchange.counts).toMatchObject({ delivered: 2, late: 0 });
  });

  it("takes a result that is there at once, and answers as of this node's step (PX-06)", async () => {
    const { exchange, posted } = setup(
      {
        update({ content }) {
          this.setResult(content);
        },
        receive: () => netEncapsulation(1, "answer"),
      },
      { sync: "asgd" },
    );
    await exchange.push(5, [block(5)]);
    expect([...(await exchange.pull(5))]).toEqual([1, 2, 3]);
    exchange.accept(1, message(2, ""));
    await settled();
    expect(posted).toMatchObject([{ to: 1, step: 6, version: 1 }]);
  });

  it("records how far a peer's model was behind", async () => {
    const { exchange } = setup(
      {
        update() {
          this.setResult([0, 0, 0]);
        },
      },
      { sync: "asgd" },
    );
    for (let step = 0; step < 5; step++) {
      await exchange.push(step, [block(step)]);
      await exchange.pull(step);
    }
    // This node has applied five results.
    exchange.accept(1, message(0, "", { version: 5 }));
    exchange.accept(1, message(0, "", { version: 2 }));
    exchange.accept(2, message(0, "", { version: 2 }));
    exchange.accept(2, message(0, "", { version: 9 }));
    await settled();
    expect([...exchange.counts.staleness].sort()).toEqual([
      [0, 2],
      [3, 2],
    ]);
  });
});

describe("a parameter server", () => {
  it("answers each node in that node's own step, whoever came last (PX-04, PX-07)", async () => {
    const heard: unknown[] = [];
    const { exchange, posted } = setup(
      {
        receive(content) {
          heard.push(content);
          return heard.length === 3 ? netEncapsulation([0, 1, 2], "mean") : undefined;
        },
      },
      { nodeId: PARAMETER_SERVER },
    );
    exchange.accept(0, message(4, "a"));
    exchange.accept(1, message(9, "b"));
    exchange.accept(2, message(0, "c"));
    await settled();
    expect(posted.map(({ to, step }) => [to, step])).toEqual([
      [0, 4],
      [1, 9],
      [2, 0],
    ]);
  });

  it("counts each answer as a new version, by which staleness is measured", async () => {
    const { exchange, posted } = setup(
      { receive: (content) => netEncapsulation(content as NodeId, "model") },
      { nodeId: PARAMETER_SERVER },
    );
    const contribute = async (from: NodeId, baseVersion: number): Promise<void> => {
      exchange.accept(from, message(0, from, { baseVersion }));
      await settled();
    };
    await contribute(0, 0);
    await contribute(1, 0);
    await contribute(0, 1);
    await contribute(1, 2);
    expect(posted.map(({ version }) => version)).toEqual([1, 2, 3, 4]);
    // Before them: 0, 1 (since 0), 1 (since 1), 1 (since 2) answers.
    expect([...exchange.counts.staleness]).toEqual([
      [0, 1],
      [1, 3],
    ]);
  });

  it("is told the version that a worker last saw", async () => {
    const { exchange, posted } = setup({
      update: () => netEncapsulation(PARAMETER_SERVER, "gradient"),
      ...taking,
    });
    for (const step of [0, 1]) {
      await exchange.push(step, [block(step)]);
      const pulled = exchange.pull(step);
      exchange.accept(PARAMETER_SERVER, message(step, [0, 0, 0], { version: 40 + step }));
      await pulled;
    }
    await exchange.push(2, [block(2)]);
    expect(posted.map(({ baseVersion }) => baseVersion)).toEqual([0, 40, 41]);
  });
});

describe("a codec for each tensor", () => {
  it("gets its part of each block, and gives its part of the result", async () => {
    const shapes: unknown[] = [];
    const { exchange, posted } = setup(
      {
        update({ content, layout: own }) {
          shapes.push([own.tensors[0]!.name, own.size, [...content]]);
          this.setResult(content.map((value) => 10 * value));
          return netEncapsulation(1, content);
        },
      },
      { perTensor: true },
    );
    await exchange.push(0, [block(0)]);
    expect([...(await exchange.pull(0))]).toEqual([10, 20, 30]);
    expect(shapes).toEqual([
      ["w", 2, [1, 2]],
      ["b", 1, [3]],
    ]);
    expect(posted.map(({ variableId }) => variableId)).toEqual([0, 1]);
  });

  it("has messages, results and rescues of its own; the step waits for all", async () => {
    const rescued: string[] = [];
    const { exchange, timeOut } = setup(
      {
        ...taking,
        rescue() {
          rescued.push(this.layout.tensors[0]!.name);
        },
      },
      { perTensor: true },
    );
    await exchange.push(0, []);
    const pulled = exchange.pull(0);
    exchange.accept(1, message(0, [7], { variableId: 1 }));
    exchange.accept(2, message(0, [8], { variableId: 1 }));
    await timeOut();
    expect(rescued).toEqual(["w"]);
    exchange.accept(1, message(0, [5, 6], { variableId: 0 }));
    expect([...(await pulled)]).toEqual([5, 6, 7]);
    expect(exchange.counts).toMatchObject({ delivered: 2, late: 1 });
  });

  it("is named where it does not come to a result", async () => {
    const { exchange, timeOut } = setup(taking, { perTensor: true });
    await exchange.push(0, []);
    const failure = failureOf(exchange.pull(0));
    exchange.accept(1, message(0, [5, 6], { variableId: 0 }));
    await timeOut();
    await timeOut();
    expect((await failure).message).toContain("codec Behaving of b; last heard: node 1 at step 0");
  });
});

describe("what a peer sends", () => {
  it.each([
    null,
    undefined,
    7,
    "text",
    [],
    {},
    { ...message(0, 1), variableId: 1 },
    { ...message(0, 1), variableId: "0" },
    { ...message(0, 1), step: -1 },
    { ...message(0, 1), step: 0.5 },
    { ...message(0, 1), step: NaN },
    { ...message(0, 1), version: 2 ** 60 },
    { ...message(0, 1), baseVersion: undefined },
  ])("is refused where it is malformed: %o", async (malformed) => {
    const { exchange, failures } = setup(taking);
    await exchange.push(0, []);
    const pulled = exchange.pull(0);
    exchange.accept(2, malformed as BlockMessage);
    expect((await failureOf(pulled)).message).toMatch(
      /^WIRE_MALFORMED: \w+: expected a whole number 0\.\.\d+, got .*; message from node 2 to node 0$/,
    );
    expect(failures.length).toBe(1);
  });
});

describe("bounded staleness", () => {
  const clock = (step: number, variableId = -1): BlockMessage => ({
    ...{ variableId, step, version: 0, baseVersion: 0, content: null },
  });
  const begins = async (exchange: BlockExchange, step: number): Promise<() => boolean> => {
    let hasBegun = false;
    void exchange.begin(step).then(() => (hasBegun = true));
    await Promise.resolve();
    return () => hasBegun;
  };

  it("tells the other workers each step, and lets a worker run ahead as far as it may", async () => {
    const { exchange, posted } = setup({}, { sync: "ssp" });
    for (const step of [0, 1, 2]) await exchange.begin(step);
    expect(posted.map(({ to, step, variableId }) => [to, step, variableId])).toEqual(
      [0, 1, 2].flatMap((step) => [
        [1, step, -1],
        [2, step, -1],
      ]),
    );
  });

  it("waits until the slowest has come far enough", async () => {
    const { exchange } = setup({}, { sync: "ssp" });
    const hasBegun = await begins(exchange, 3);
    expect(hasBegun()).toBe(false);
    exchange.accept(1, clock(5));
    await Promise.resolve();
    expect(hasBegun()).toBe(false);
    exchange.accept(2, clock(1));
    await Promise.resolve();
    await Promise.resolve();
    expect(hasBegun()).toBe(true);
  });

  it("says who is behind when that takes too long", async () => {
    const { exchange, timeOut } = setup({}, { sync: "ssp" });
    exchange.accept(1, clock(7));
    exchange.accept(2, clock(4));
    const begun = exchange.begin(9);
    const failure = expect(begun).rejects.toThrow(
      "SYNC_TIMEOUT: step 9 of node 0: expected all workers to be at most 2 steps behind",
    );
    await timeOut();
    await timeOut();
    await failure;
    await expect(begun).rejects.toThrow("got node 2 at step 4; raise `--staleness`");
  });

  it.each(["ssgd", "asgd"] as const)(
    "is nothing to %s, which knows no such messages",
    async (sync) => {
      const { exchange, posted, failures } = setup({}, { sync });
      await exchange.begin(1000);
      expect(posted).toEqual([]);
      exchange.accept(1, clock(1));
      expect(failures[0]!.message).toContain("variableId: expected a whole number 0..0, got -1");
    },
  );
});
