import {
  Codec,
  PARAMETER_SERVER,
  PsgdError,
  SILENT,
  createSettings,
  ASSIGNMENTS,
  layoutOf,
  netEncapsulation,
  seededRandom,
  type BlockWeight,
  type CodecReturn,
  type NetEncapsulation,
} from "@psgd/core";
import { describe, expect, it } from "vitest";
import { CodecActor } from "./codec-actor.js";
import { HandClock } from "./testing/hand-clock.js";

const layout = layoutOf([{ name: "w", shape: [2] }]);

/** A codec whose calls do what the test says. */
class Told extends Codec {
  readonly #answer: (method: string, argument: unknown) => unknown;

  constructor(answer: (method: string, argument: unknown) => unknown) {
    super({
      nodeId: 2,
      settings: createSettings({
        assignment: ASSIGNMENTS.iid({ nodeCount: 4, redundancy: 1 }),
        batchSize: 1,
        stepCount: 1,
        parameters: {},
      }),
      layout,
      random: seededRandom(1),
      log: SILENT,
      currentWeights: () => new Float32Array(2),
      learningRate: () => 1,
    });
    this.#answer = answer;
  }

  override updateBlocks(block: BlockWeight): CodecReturn {
    return this.#answer("updateBlocks", block) as CodecReturn;
  }

  override receiveBlocks(content: unknown): CodecReturn {
    return this.#answer("receiveBlocks", content) as CodecReturn;
  }

  override onSyncTimeout(): CodecReturn {
    return this.#answer("onSyncTimeout", undefined) as CodecReturn;
  }

  override dispose(): void {
    this.#answer("dispose", undefined);
  }
}

function actorOf(
  answer: (method: string, argument: unknown) => unknown,
  { hasServer = false, clock = new HandClock() } = {},
): CodecActor {
  return new CodecActor({
    codec: new Told(answer),
    nodeCount: 4,
    hasServer,
    clock,
    callTimeoutMs: 500,
  });
}

const block = (step = 3): BlockWeight => ({
  content: Float32Array.of(1, 2),
  blockId: 2,
  step,
  sampleCount: 1,
  layout,
});

async function emitted(answer: () => unknown, options = {}): Promise<NetEncapsulation[]> {
  const envelopes: NetEncapsulation[] = [];
  await actorOf(answer, options).update(block(), (envelope) => void envelopes.push(envelope));
  return envelopes;
}

async function failureOf(work: Promise<unknown>): Promise<PsgdError> {
  const failure: unknown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(failure).toBeInstanceOf(PsgdError);
  return failure as PsgdError;
}

const a = netEncapsulation(0, "a");
const b = netEncapsulation([1, 3], "b");

describe("what a codec may return", () => {
  const forms: [string, () => unknown, readonly NetEncapsulation[]][] = [
    ["nothing", () => undefined, []],
    ["null", () => null, []],
    ["one envelope", () => a, [a]],
    ["an array", () => [a, b], [a, b]],
    ["an empty array", () => [], []],
    ["a Set", () => new Set([a, b]), [a, b]],
    [
      "a generator",
      function* () {
        yield a;
        yield b;
      },
      [a, b],
    ],
    [
      "an async generator",
      async function* () {
        yield a;
        await Promise.resolve();
        yield b;
      },
      [a, b],
    ],
    ["an envelope to nobody", () => netEncapsulation([], 1), [netEncapsulation([], 1)]],
    [
      "an envelope that a plain object is",
      () => ({ targets: [1], content: 0 }),
      [netEncapsulation(1, 0)],
    ],
  ];

  it.each(forms)("%s", async (_, answer, expected) => {
    expect(await emitted(answer)).toEqual(expected);
  });

  it.each(forms)("a promise of %s", async (_, answer, expected) => {
    expect(await emitted(() => Promise.resolve(answer()))).toEqual(expected);
  });

  it.each<[unknown, RegExp]>([
    [7, /got number 7/],
    ["text", /got string "text"/],
    [true, /got boolean true/],
    [{ to: 1, content: 2 }, /got an object with fields to, content/],
    [{ targets: 1, content: 2 }, /got an object with fields targets, content/],
    [{}, /got an object with no fields/],
    [[a, 3], /got number 3/],
    [Float32Array.of(0.5), /got number 0.5/],
    [Promise.resolve(() => {}), /got function/],
  ])("and nothing else: %o", async (value, text) => {
    const failure = await failureOf(emitted(() => value));
    expect(failure.message).toMatch(/^CODEC_INVALID_RETURN: updateBlocks: expected nothing, a net/);
    expect(failure.message).toMatch(text);
    expect(failure.message).toMatch(/codec Told, node 2, step 3, block 2; wrap what is to be sent/);
  });

  it("is sent as soon as it is yielded", async () => {
    let goOn = (): void => {};
    const sent: unknown[] = [];
    const actor = actorOf(async function* () {
      yield a;
      await new Promise<void>((resolve) => (goOn = resolve));
      yield b;
    });
    const done = actor.receive("x", 1, 3, ({ content }) => void sent.push(content));
    await new Promise(setImmediate);
    expect(sent).toEqual(["a"]);
    goOn();
    await done;
    expect(sent).toEqual(["a", "b"]);
  });
});

describe("targets", () => {
  it.each([4, -1, -3, 1.5, NaN, "1", null, undefined])("refuse %o", async (target) => {
    const failure = await failureOf(emitted(() => netEncapsulation([0, target as number], "x")));
    expect(failure.message).toMatch(
      /^CODEC_INVALID_TARGET: netEncapsulation target: expected a node id 0\.\.3, got .*codec Told, node 2, step 3/,
    );
  });

  it("are nodes of the job, the node itself, and the parameter server where there is one", async () => {
    const all = netEncapsulation([0, 1, 2, 3, PARAMETER_SERVER], "x");
    expect(await emitted(() => all, { hasServer: true })).toEqual([all]);
    const failure = await failureOf(emitted(() => all));
    expect(failure.message).toMatch(
      /got -2; .*this job has no parameter server, add `--server-codec/,
    );
  });

  it("are checked before any of them is sent to", async () => {
    const sent: unknown[] = [];
    const actor = actorOf(() => netEncapsulation([0, 9], "x"));
    await failureOf(actor.update(block(), (envelope) => void sent.push(envelope)));
    expect(sent).toEqual([]);
  });
});

describe("calls", () => {
  it("run one at a time, in order of asking, each until its promise has settled", async () => {
    const events: string[] = [];
    const actor = actorOf(async (method, argument) => {
      const name = typeof argument === "string" ? argument : method;
      events.push(`${name} begins`);
      for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
      events.push(`${name} ends`);
    });
    const calls = [
      actor.update(block(), () => {}),
      actor.receive("first", 0, 0, () => {}),
      actor.receive("second", 1, 0, () => {}),
      actor.syncTimeout(0, () => {}),
    ];
    expect(actor.isBusy).toBe(true);
    await Promise.all(calls);
    expect(actor.isBusy).toBe(false);
    expect(events).toEqual(
      ["updateBlocks", "first", "second", "onSyncTimeout"].flatMap((name) => [
        `${name} begins`,
        `${name} ends`,
      ]),
    );
  });

  it("go on after one that failed", async () => {
    const actor = actorOf((_, argument) => {
      if (argument === "bad") throw new Error("no");
    });
    const bad = actor.receive("bad", 0, 0, () => {});
    const good = actor.receive("good", 0, 0, () => {});
    await failureOf(bad);
    await good;
  });

  it("come before the result that is asked for after them", async () => {
    const codec = new Told(async () => {
      await new Promise(setImmediate);
      codec.setResult([1, 1]);
    });
    const clock = new HandClock();
    const actor = new CodecActor({
      codec,
      nodeCount: 4,
      hasServer: false,
      clock,
      callTimeoutMs: 1,
    });
    void actor.receive(0, 0, 0, () => {});
    void actor.receive(1, 0, 0, () => {});
    expect([...(await actor.takeResult())]).toEqual([2, 2]);
    expect((await failureOf(actor.takeResult())).code).toBe("CODEC_NO_RESULT");
  });

  it("that take too long fail where they began, and set no timer that stays", async () => {
    const clock = new HandClock();
    const actor = actorOf(() => new Promise(() => {}), { clock });
    const call = actor.receive("x", 3, 7, () => {});
    await new Promise(setImmediate);
    clock.ring();
    expect((await failureOf(call)).message).toMatch(
      /^CODEC_TIMEOUT: receiveBlocks: expected an answer within 500 ms, got none; codec Told, node 2, step 7, message from node 3; .*`--codec-timeout`/,
    );
    const quick = new HandClock();
    await actorOf(() => Promise.resolve(a), { clock: quick }).update(block(), () => {});
    expect(quick.timerCount).toBe(0);
  });

  it("never begin after one that did not end: it may still run", async () => {
    const clock = new HandClock();
    const seen: unknown[] = [];
    let goOn = (): void => {};
    const actor = actorOf(
      async function* (_, argument) {
        seen.push(argument);
        await new Promise<void>((resolve) => (goOn = resolve));
        yield a;
        seen.push("went on");
      },
      { clock },
    );
    const sent: unknown[] = [];
    const emit = (envelope: NetEncapsulation): void => void sent.push(envelope);
    const calls = [actor.receive("first", 0, 0, emit), actor.receive("second", 0, 0, emit)];
    const failures = Promise.all(calls.map(failureOf));
    await new Promise(setImmediate);
    clock.ring();
    expect((await failures).map(({ code }) => code)).toEqual(["CODEC_TIMEOUT", "CODEC_TIMEOUT"]);
    goOn();
    await new Promise(setImmediate);
    expect(seen).toEqual(["first"]);
    // What it wants to send when nobody waits any more goes nowhere, and ends it.
    expect(sent).toEqual([]);
  });

  it("leave the rescue hook alone where a result has come before its turn", async () => {
    const asked: string[] = [];
    const codec = new Told(async (method) => {
      asked.push(method);
      await new Promise(setImmediate);
      codec.setResult([1, 1]);
    });
    const clock = new HandClock();
    const actor = new CodecActor({
      codec,
      nodeCount: 4,
      hasServer: false,
      clock,
      callTimeoutMs: 1,
    });
    void actor.receive(0, 0, 0, () => {});
    await actor.syncTimeout(0, () => {});
    expect(asked).toEqual(["receiveBlocks"]);
    expect([...(await actor.takeResult())]).toEqual([1, 1]);
  });
});

describe("what a codec throws", () => {
  it.each<[string, (actor: CodecActor) => Promise<unknown>, RegExp]>([
    ["updateBlocks", (actor) => actor.update(block(), () => {}), /node 2, step 3, block 2$/],
    [
      "receiveBlocks",
      (actor) => actor.receive(0, PARAMETER_SERVER, 4, () => {}),
      /step 4, message from parameter server$/,
    ],
    ["onSyncTimeout", (actor) => actor.syncTimeout(5, () => {}), /node 2, step 5$/],
  ])("in %s is wrapped once, with its place", async (method, call, place) => {
    const cause = new TypeError("x is undefined");
    for (const answer of [
      () => {
        throw cause;
      },
      () => Promise.reject(cause),
      function* () {
        yield a;
        throw cause;
      },
      async function* () {
        yield a;
        throw cause;
      },
    ]) {
      const failure = await failureOf(call(actorOf(answer)));
      expect(failure.code).toBe("CODEC_THREW");
      expect(failure.message).toContain(`${method} threw: x is undefined; codec Told, `);
      expect(failure.message).toMatch(place);
      expect(failure.cause).toBe(cause);
      expect(failure.details).toEqual({ node: 2 });
    }
  });

  it("may be anything", async () => {
    for (const [thrown, text] of [
      ["a text", "a text"],
      [undefined, "undefined"],
      [{ message: 5 }, "an object without a message was thrown"],
    ] as const) {
      const failure = await failureOf(
        emitted(() => {
          // eslint-disable-next-line @typescript-eslint/only-throw-error -- codecs may be plain JavaScript
          throw thrown;
        }),
      );
      expect(failure.message).toContain(`updateBlocks threw: ${text}; codec Told`);
    }
  });

  it("in dispose says so", () => {
    const actor = actorOf(() => {
      throw new Error("locked");
    });
    expect(() => actor.dispose()).toThrow("CODEC_THREW: dispose threw: locked; codec Told, node 2");
  });

  it("is told apart from a failure to send, which keeps its code and gets the place", async () => {
    const actor = actorOf(() => a);
    const failure = await failureOf(
      actor.update(block(), () => {
        throw new PsgdError(
          "PAYLOAD_UNPACKABLE",
          "`content`: expected a packable value, got a symbol",
        );
      }),
    );
    expect(failure.message).toBe(
      "PAYLOAD_UNPACKABLE: `content`: expected a packable value, got a symbol; codec Told, node 2, step 3, block 2",
    );
  });
});
