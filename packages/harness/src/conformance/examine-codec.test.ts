import {
  Codec,
  PARAMETER_SERVER,
  meanOf,
  netEncapsulation,
  type BlockWeight,
  type CodecClass,
  type CodecContext,
  type CodecReturn,
} from "@psgd/core";
import { beforeAll, describe, expect, it } from "vitest";
import { examineCodec, type CodecExamination } from "./examine-codec.js";
import type { CheckName, Finding } from "./finding.js";

type Message = readonly [block: number, content: Float32Array];

/** The mean of what all nodes have made of their blocks: what the codecs below are variations of. */
class Mean extends Codec {
  static override readonly carries: CodecClass["carries"] = "gradients";
  protected blocks = new Map<number, Float32Array>();

  override updateBlocks({ blockId, content }: BlockWeight): CodecReturn {
    const message: Message = [blockId, this.encoded(content)];
    this.keep(message);
    return netEncapsulation(this.settings.nodesWithout(blockId), message);
  }

  override receiveBlocks(content: unknown): CodecReturn {
    this.keep(content as Message);
  }

  protected encoded(content: Float32Array): Float32Array {
    return content;
  }

  protected keep([blockId, content]: Message): void {
    this.blocks.set(blockId, content);
    if (this.blocks.size < this.settings.blockCount) return;
    this.setResult(this.combined());
    this.blocks.clear();
  }

  protected combined(): Float32Array {
    return meanOf(this.settings.blocks.map((id) => this.blocks.get(id)!));
  }
}

/** Keeps the blocks of each step apart, and those that come ahead until their step. */
class ByStep extends Codec {
  static override readonly carries = "gradients";
  readonly #blocks = new Map<number, Map<number, Float32Array>>();
  #step = -1;

  override updateBlocks({ blockId, step, content }: BlockWeight): CodecReturn {
    this.#step = step;
    this.#keep([step, blockId, content]);
    return netEncapsulation(this.settings.nodesWithout(blockId), [step, blockId, content]);
  }

  override receiveBlocks(content: unknown): CodecReturn {
    this.#keep(content as [number, number, Float32Array]);
  }

  #keep([step, blockId, content]: [number, number, Float32Array]): void {
    const ofStep = this.#blocks.get(step) ?? new Map<number, Float32Array>();
    this.#blocks.set(step, ofStep.set(blockId, content));
    if (step !== this.#step || ofStep.size < this.settings.blockCount) return;
    this.#blocks.delete(step);
    this.setResult(meanOf(this.settings.blocks.map((id) => ofStep.get(id)!)));
  }
}

/** Half of each block is lost: the error is 50 %, and so is what every step loses; δ = 1 − ¼. */
class Half extends Mean {
  protected override encoded(content: Float32Array): Float32Array {
    return content.map((value) => value / 2);
  }
}

/** Sends each value doubled, or nothing, by a coin: unbiased, and as far from the mean as the mean is long. */
class Coin extends Mean {
  protected override encoded(content: Float32Array): Float32Array {
    return content.map((value) => (this.random.float() < 0.5 ? 2 * value : 0));
  }
}

/** Sends the larger half of its values. */
class LargerHalf extends Mean {
  protected override encoded(content: Float32Array): Float32Array {
    const sizes = content.map(Math.abs).sort();
    const limit = sizes[sizes.length / 2]!;
    return content.map((value) => (Math.abs(value) >= limit ? value : 0));
  }
}

/** And keeps the rest for later: nothing is lost. */
class LargerHalfWithFeedback extends LargerHalf {
  #rest = new Float32Array(this.layout.size);

  protected override encoded(content: Float32Array): Float32Array {
    const whole = content.map((value, i) => value + this.#rest[i]!);
    const sent = super.encoded(whole);
    this.#rest = whole.map((value, i) => value - sent[i]!);
    return sent;
  }

  override exportState(): unknown {
    return this.#rest;
  }

  override importState(state: unknown): void {
    this.#rest = state as Float32Array<ArrayBuffer>;
  }
}

/** The same, but a checkpoint does not hold the rest. */
class ForgetsItsRest extends LargerHalfWithFeedback {
  override exportState(): unknown {
    return undefined;
  }
}

class Leaks extends Mean {
  readonly #all: unknown[] = [];

  override receiveBlocks(content: unknown): CodecReturn {
    this.#all.push(content);
    return super.receiveBlocks(content);
  }
}

class SumsAsTheyCome extends Mean {
  protected override combined(): Float32Array {
    const sum = new Float32Array(this.layout.size);
    for (const block of this.blocks.values())
      for (const [i, value] of block.entries()) sum[i]! += value;
    return sum.map((value) => value / this.blocks.size);
  }
}

class DrawsItsOwn extends Mean {
  protected override combined(): Float32Array {
    const scale = 1 + 1e-3 * Math.random();
    return super.combined().map((value) => value * scale);
  }
}

class MakesZeroOfNaN extends Mean {
  protected override encoded(content: Float32Array): Float32Array {
    return content.map((value) => (Number.isNaN(value) ? 0 : value));
  }
}

/** Sends directions, and lengths beside them: of zeros, 0 / 0. */
class DividesByLength extends Mean {
  protected override encoded(content: Float32Array): Float32Array {
    const length = Math.hypot(...content);
    return content.map((value) => (value / length) * length);
  }
}

/** Adds up in the first array it was ever handed. */
class ComputesInOldArrays extends Mean {
  #sum: Float32Array | undefined;

  protected override combined(): Float32Array {
    this.#sum ??= this.blocks.get(this.nodeId)!;
    this.#sum.set(super.combined());
    return this.#sum;
  }
}

/** Nobody can put anything into its place. */
class Frozen extends Mean {
  override receiveBlocks = (content: unknown): CodecReturn => this.keep(content as Message);

  constructor(context: CodecContext) {
    super(context);
    Object.freeze(this);
  }
}

/** Works until the ninth step. */
class FailsLater extends Mean {
  override updateBlocks(block: BlockWeight): CodecReturn {
    if (block.step > 8) throw new Error("ten is too much");
    return super.updateBlocks(block);
  }
}

/** Climbs instead of descending. */
class Climbs extends Mean {
  protected override combined(): Float32Array {
    return super.combined().map((value) => -value);
  }
}

/** Goes its own way. */
class Alone extends Codec {
  static override readonly carries = "gradients";
  override updateBlocks({ content }: BlockWeight): void {
    this.setResult(content);
  }
}

/** The first nodes wait for a block that its holder does not send them. */
class ForgetsNodeTwo extends Mean {
  override updateBlocks(block: BlockWeight): CodecReturn {
    const { targets, content } = super.updateBlocks(block) as ReturnType<typeof netEncapsulation>;
    const isForgetful = this.nodeId === 0 && block.step === 1;
    return netEncapsulation(isForgetful ? targets.filter((node) => node !== 2) : targets, content);
  }
}

/** Waits for a message that comes only if nothing was overtaken. */
class AssumesAnOrder extends Mean {
  protected override keep(message: Message): void {
    const isNext =
      message[0] === this.nodeId || this.blocks.has((message[0] + 1) % this.settings.blockCount);
    if (isNext || this.blocks.size === 0) super.keep(message);
  }
}

/** Two of them never stop talking. */
class Answers extends Mean {
  override receiveBlocks(content: unknown): CodecReturn {
    return netEncapsulation(this.settings.nodes, content);
  }
}

class SendsWithoutEnd extends Mean {
  override *updateBlocks({ content }: BlockWeight): Generator<ReturnType<typeof netEncapsulation>> {
    for (;;) yield netEncapsulation(this.settings.nodes, content);
  }
}

class NeverSettles extends Mean {
  override updateBlocks(): CodecReturn {
    return new Promise(() => {});
  }
}

class Server extends Codec {
  static override readonly carries = "weights";
  readonly #byNode = new Map<number, Float32Array>();

  override receiveBlocks(content: unknown): CodecReturn {
    const [node, weights] = content as Message;
    this.#byNode.set(node, weights);
    if (this.#byNode.size < this.settings.nodeCount) return undefined;
    const mean = meanOf(this.settings.nodes.map((each) => this.#byNode.get(each)!));
    this.#byNode.clear();
    return netEncapsulation(this.settings.nodes, mean);
  }

  override exportState(): unknown {
    return new Map(this.#byNode);
  }

  override importState(state: unknown): void {
    for (const [node, weights] of state as Map<number, Float32Array>)
      this.#byNode.set(node, weights);
  }
}

class Client extends Codec {
  static override readonly carries = "weights";
  static override readonly server = Server;

  override updateBlocks({ content }: BlockWeight): CodecReturn {
    return netEncapsulation(PARAMETER_SERVER, [this.nodeId, content]);
  }

  override receiveBlocks(content: unknown): CodecReturn {
    this.setResult(content as Float32Array);
  }
}

/** What is expected of one codec: the verdicts that are not "ok", and words of a number or text. */
const CASES: readonly {
  readonly codec: CodecClass;
  readonly options?: Partial<CodecExamination>;
  readonly notOk: Partial<Record<CheckName, Finding["verdict"]>>;
  readonly says?: Partial<Record<CheckName, RegExp>>;
}[] = [
  {
    codec: Mean,
    notOk: {},
    says: {
      ...{ mean: /exact/, bytes: /^10\d % of dense/, contraction: /δ = 1/ },
      digits: /^(\d+\.\d) %, exact \1 %; .* after 120 steps with 1.0 of the bytes/,
    },
  },
  { codec: Client, notOk: {}, says: { mean: /exact/, bytes: /^10\d % of dense/ } },
  { codec: Mean, options: { redundancy: 2 }, notOk: {} },
  { codec: Frozen, notOk: {} },
  {
    codec: ByStep,
    options: { sync: "asgd" },
    notOk: { state: "note" },
    says: { state: /^waits for ever; .*came ahead of theirs/ },
  },
  {
    codec: Half,
    notOk: { mean: "note", bias: "note", feedback: "note", digits: "note" },
    says: {
      mean: /^50.0 % off.* exactly 0.50 times .* divided by/,
      contraction: /δ = 0.750/,
      feedback: /^40.00.*50.0 % off, always by the same factor/,
    },
  },
  {
    codec: Coin,
    notOk: { mean: "note", convergence: "note", "not finite": "note" },
    says: { bias: /unbiased.*spread 1\d\d %/, feedback: /chance only|does not pile up/ },
  },
  {
    codec: LargerHalf,
    notOk: {
      ...{ mean: "note", bias: "note", feedback: "note", convergence: "note" },
      "not finite": "note",
    },
    says: { feedback: /lost for good/ },
  },
  {
    codec: LargerHalfWithFeedback,
    notOk: { mean: "note", bias: "note", "not finite": "note" },
    says: { feedback: /comes later/ },
  },
  {
    codec: ForgetsItsRest,
    notOk: { mean: "note", bias: "note", "not finite": "note", state: "wrong" },
  },
  { codec: Leaks, notOk: { memory: "wrong" }, says: { memory: /grows/ } },
  { codec: SumsAsTheyCome, notOk: { agreement: "wrong", order: "wrong" } },
  {
    codec: DrawsItsOwn,
    notOk: {
      agreement: "wrong",
      repeats: "wrong",
      order: "wrong",
      mean: "note",
      bias: "note",
      feedback: "note",
      state: "note",
    },
    says: { order: /; see `repeats`/ },
  },
  { codec: MakesZeroOfNaN, notOk: { "not finite": "note" }, says: { "not finite": /^0 of 3/ } },
  {
    codec: DividesByLength,
    notOk: { "not finite": "wrong" },
    says: { "not finite": /^3 of 3 nodes; .* all gradients are 0/ },
  },
  {
    codec: ComputesInOldArrays,
    notOk: { inputs: "note" },
    says: { inputs: /changed at once, [1-9]/ },
  },
  {
    codec: FailsLater,
    notOk: {
      mean: "wrong",
      bias: "skipped",
      contraction: "skipped",
      feedback: "skipped",
      convergence: "wrong",
      digits: "wrong",
      inputs: "wrong",
      memory: "wrong",
      bytes: "wrong",
    },
    says: { bytes: /ten is too much/ },
  },
  {
    codec: Alone,
    notOk: {
      agreement: "wrong",
      mean: "wrong",
      bias: "note",
      contraction: "wrong",
      feedback: "wrong",
      convergence: "wrong",
      "not finite": "note",
    },
  },
];

const SKIPPED = [
  "agreement",
  "repeats",
  "order",
  "mean",
  "bias",
  "contraction",
  "feedback",
  "convergence",
  "digits",
  "not finite",
  "state",
  "inputs",
  "memory",
  "bytes",
] as const;

describe("the conformance kit", () => {
  describe.each(CASES)("on $codec.name", ({ codec, options = {}, notOk, says = {} }) => {
    let findings: readonly Finding[] = [];
    beforeAll(async () => {
      findings = await examineCodec({ codec, seedCount: 20, ...options });
    });

    it("finds what is there, and nothing else", () => {
      const found = findings.filter(({ verdict }) => verdict !== "ok");
      const told = findings.map(({ check, number, text }) => `${check}: ${number}; ${text}`);
      expect(
        Object.fromEntries(found.map(({ check, verdict }) => [check, verdict])),
        told.join("\n"),
      ).toEqual(notOk);
    });

    it("says how much", () => {
      for (const [check, pattern] of Object.entries(says)) {
        const { number, text } = findings.find((finding) => finding.check === check)!;
        expect(`${number}; ${text}`).toMatch(pattern);
      }
    });
  });

  it("explains a deadlock with who waits for which block of whom, and a numbered list", async () => {
    const findings = await examineCodec({ codec: ForgetsNodeTwo, seedCount: 50 });
    const of = (check: CheckName): Finding => findings.find((finding) => finding.check === check)!;
    expect(of("results")).toMatchObject({ verdict: "wrong" });
    expect(of("results").text).toContain(
      "node 2 waits in step 1 for block 0 of node 0, last heard of step 2",
    );
    expect(of("results").story).toMatch(/^3 nodes, 2 steps: SYNC_TIMEOUT: result of round 1: /);
    expect(of("results").story).toMatch(/^ +1\. node \d computes its blocks of step 0$/m);
    for (const check of SKIPPED) expect(of(check).verdict).toBe("skipped");
    expect(of("network").story).toMatch(/no faults\n +1\. /);
    expect(of("network").story).toContain("node 2 waits in step 1 for block 0 of node 0");
  });

  it.each([Answers, SendsWithoutEnd, NeverSettles])("comes to an end with %o", async (codec) => {
    const findings = await examineCodec({ codec, seedCount: 20 });
    const wrong = findings.filter(({ verdict }) => verdict === "wrong");
    expect(wrong.map(({ check }) => check)).toEqual(["results", "network"]);
  });

  it("has numbers also for a node that is alone", async () => {
    const findings = await examineCodec({ codec: Mean, nodeCount: 1, seedCount: 1 });
    for (const { check, verdict, number, text } of findings)
      expect([check, verdict, number, text].join(" ")).not.toMatch(/NaN|Infinity|wrong/);
  });

  it("finds that a codec does not learn", async () => {
    const findings = await examineCodec({ codec: Climbs, seedCount: 1 });
    const digits = findings.find(({ check }) => check === "digits")!;
    expect(digits).toMatchObject({ verdict: "wrong" });
    expect(digits.curves!.codec[0]!.loss).toBeGreaterThan(digits.curves!.uncompressed[0]!.loss);
  });

  it("finds a deadlock that only some order of messages leads to, and the shortest way to it", async () => {
    const findings = await examineCodec({ codec: AssumesAnOrder, seedCount: 50 });
    const network = findings.find(({ check }) => check === "network")!;
    expect(network.verdict).toBe("wrong");
    expect(network.story).toMatch(/3 nodes, redundancy 1, 1 steps, no faults/);
  });
});
