/*
 * Bugs, planted one at a time in the pieces that the simulated cluster runs: in codecs, in place of parts of a node, or
 * in the insides of the link. Names like PT-1 are those of traps that the original fell into.
 */
import { crc32 } from "node:zlib";
import {
  seededRandom,
  type BlockWeight,
  type CodecReturn,
  type Random,
  type Transport,
} from "@psgd/core";
import {
  type InvariantName,
  type NodeParts,
  type ScenarioLimits,
  type SimulatedJobOptions,
} from "@psgd/harness";
import { Mesh, type MeshOptions } from "@psgd/runtime";
import { LinkEndpoint } from "@psgd/transport";
import {
  BlockExchange,
  CodecActor,
  asynchronousSgd,
  synchronousSgd,
  type BlockExchangeOptions,
  type BlockMessage,
  type CodecActorOptions,
  type Emit,
} from "@psgd/sgd";
import { ReceivingWindow } from "../../packages/transport/dist/link/receiving-window.js";
import { SendingWindow } from "../../packages/transport/dist/link/sending-window.js";
import type { Acknowledgement, Frame } from "../../packages/transport/dist/link/link-frame.js";
import { DummyCodec } from "../../codecs/dummy.js";
import { FedAvgClient } from "../../codecs/fedavg.js";
import { Plain } from "../../codecs/plain.js";
import {
  AsyncMean,
  ChangesTheWeights,
  CountsContributions,
  CountsNodes,
  DividesByWhatCameBefore,
  DrawsItsOwnRandom,
  ForgetsToAnswer,
  ForgetsWhatCameFirst,
  ListedMean,
  Mean,
  MeanClient,
  RepliesTwice,
  SharesAStaticField,
  SumsInArrivalOrder,
  SumsWhatIsSentAgain,
  UnevenClient,
  WantsItsNeighbourFirst,
} from "./planted-codecs.fixture.js";

export interface PlantedBug {
  readonly name: string;
  readonly job: SimulatedJobOptions;
  readonly limits?: ScenarioLimits;
  /** Which promises may be found broken first. */
  readonly breaks: readonly InvariantName[];
  /** Changes something for all jobs. @returns changes it back */
  readonly plant?: () => () => void;
}

const mean = (codec: SimulatedJobOptions["codec"]): SimulatedJobOptions => ({
  codec,
  promise: "mean",
});
const star = { codec: MeanClient, promise: "mean" } as const;
const plain = mean(Plain);
const withParts = (job: SimulatedJobOptions, parts: Partial<NodeParts>): SimulatedJobOptions => ({
  ...job,
  parts,
});
/** Nobody waits for anybody but for the bound. */
const alone = { codec: DummyCodec, sync: "ssp" } as const;
const noRedundancy = { withRedundancy: false };

/** Jobs without a bug, each of which some bug below is planted in: none may be found guilty. */
export const SOUND: readonly Pick<PlantedBug, "name" | "job" | "limits">[] = [
  { name: "Plain", job: plain },
  { name: "Mean", job: mean(Mean) },
  { name: "MeanClient", job: star, limits: noRedundancy },
  { name: "AsyncMean", job: mean(AsyncMean) },
  { name: "ListedMean", job: mean(ListedMean) },
  { name: "UnevenClient", job: { codec: UnevenClient }, limits: noRedundancy },
  { name: "Plain in asgd", job: { ...plain, sync: "asgd" } },
  { name: "DummyCodec in ssp", job: alone },
];

/** Overrides one method of a class for good. */
function patch<T extends object, K extends keyof T>(
  target: T,
  key: K,
  replace: (old: T[K]) => T[K],
): () => void {
  const descriptor = Object.getOwnPropertyDescriptor(target, key)!;
  if (descriptor.get === undefined) {
    Object.defineProperty(target, key, { ...descriptor, value: replace(descriptor.value as T[K]) });
  } else {
    Object.defineProperty(target, key, {
      ...descriptor,
      get(this: T) {
        return replace(descriptor.get!.call(this) as T[K]);
      },
    });
  }
  return () => void Object.defineProperty(target, key, descriptor);
}

/** An exchange that knows which step it is in, for bugs that need to. */
class SteppedExchange extends BlockExchange {
  protected step = 0;

  override async push(...args: Parameters<BlockExchange["push"]>): Promise<void> {
    this.step = args[0];
    await super.push(...args);
  }

  override async pull(step: number): Promise<Float32Array> {
    const result = await super.pull(step);
    this.step = step + 1;
    return result;
  }
}

class ForgetfulExchange extends SteppedExchange {
  override accept(...args: Parameters<BlockExchange["accept"]>): void {
    if (args[1].step <= this.step) super.accept(...args);
  }
}

class SmallQueueExchange extends SteppedExchange {
  readonly #early = new Map<number, number>();

  override accept(...args: Parameters<BlockExchange["accept"]>): void {
    const { step } = args[1];
    const count = (this.#early.get(step) ?? 0) + 1;
    if (step > this.step) this.#early.set(step, count);
    if (step <= this.step || count <= 1) super.accept(...args);
  }
}

class StutteringExchange extends BlockExchange {
  override accept(...args: Parameters<BlockExchange["accept"]>): void {
    super.accept(...args);
    super.accept(...args);
  }
}

class HastyActor extends CodecActor {
  override async receive(
    content: unknown,
    ...rest: [from: number, step: number, emit: Emit]
  ): Promise<void> {
    // "What takes long need not be waited for."
    void super.receive(content, ...rest).catch(() => {});
    const returned = this.codec.receiveBlocks(content);
    if (returned instanceof Promise) await returned.catch(() => {});
  }
}

class TwiceRescuingActor extends CodecActor {
  override async syncTimeout(step: number, emit: Emit): Promise<void> {
    await super.syncTimeout(step, emit);
    await super.syncTimeout(step, emit);
  }
}

/** Iterates what has `next` and nothing else. */
function generatorsOnly(options: CodecActorOptions): CodecActor {
  const codec = new Proxy(options.codec, {
    get(target, key) {
      if (key !== "updateBlocks") return Reflect.get(target, key, target) as unknown;
      return (block: BlockWeight): CodecReturn => {
        const returned = target.updateBlocks(block);
        return Array.isArray(returned) ? undefined : returned;
      };
    },
  });
  return new CodecActor({ ...options, codec });
}

function exchangeWith(
  change: (options: BlockExchangeOptions) => Partial<BlockExchangeOptions>,
): Partial<NodeParts> {
  return { createExchange: (options) => new BlockExchange({ ...options, ...change(options) }) };
}

/** A server whose answers all carry the step of whoever contributed last. */
function lastContributorsStep(options: BlockExchangeOptions): BlockExchange {
  let lastStep = 0;
  const stamped = (message: BlockMessage): BlockMessage =>
    options.nodeId < 0 ? { ...message, step: lastStep } : message;
  class Server extends BlockExchange {
    override accept(...args: Parameters<BlockExchange["accept"]>): void {
      lastStep = args[1].step;
      super.accept(...args);
    }
  }
  return new Server({
    ...options,
    post: (target, message) => options.post(target, stamped(message)),
  });
}

/** Takes damaged frames for whole ones: their checksum is made to fit. */
function withoutChecksums(transport: Transport): Transport {
  return new Proxy(transport, {
    get(target, key) {
      if (key === "listen")
        return (address: string, onFrame: (frame: Uint8Array) => void) =>
          target.listen(address, (frame) => {
            if (frame.length >= 8) {
              const view = new DataView(frame.buffer, frame.byteOffset);
              view.setUint32(4, crc32(frame.subarray(8), view.getUint32(0, true)), true);
            }
            onFrame(frame);
          });
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

/** Frames that a broken window has taken in by itself. */
const takenIn = new WeakMap<ReceivingWindow, Frame[]>();

function alsoTake(
  add: (window: ReceivingWindow, frame: Frame, isNew: boolean) => boolean,
): () => void {
  const restoreAdd = patch(
    ReceivingWindow.prototype,
    "add",
    (old) =>
      function (this: ReceivingWindow, frame: Frame): boolean {
        const isNew = old.call(this, frame);
        if (frame.type !== "data" || !add(this, frame, isNew)) return isNew;
        takenIn.set(this, [...(takenIn.get(this) ?? []), frame]);
        return true;
      },
  );
  const restoreTake = patch(
    ReceivingWindow.prototype,
    "take",
    (old) =>
      function (this: ReceivingWindow): Frame | undefined {
        return takenIn.get(this)?.shift() ?? old.call(this);
      },
  );
  return () => {
    restoreAdd();
    restoreTake();
  };
}

const openMesh =
  (change: (options: MeshOptions) => Partial<MeshOptions>): NodeParts["openMesh"] =>
  (options) =>
    Mesh.open({ ...options, ...change(options) });

export const PLANTED: readonly PlantedBug[] = [
  // In codecs.
  { name: "sums in the order of arrival", job: mean(SumsInArrivalOrder), breaks: ["right model"] },
  {
    name: "PT-8: counts nodes where it means blocks",
    job: mean(CountsNodes),
    breaks: ["right model", "survives", "ends"],
  },
  {
    name: "has no step in its messages, in asgd",
    job: { ...mean(Mean), sync: "asgd" },
    breaks: ["right model", "survives"],
  },
  {
    name: "changes the weights it is shown",
    job: mean(ChangesTheWeights),
    breaks: ["right model"],
  },
  {
    name: "forgets what came before its own block, in asgd",
    job: { ...mean(ForgetsWhatCameFirst), sync: "asgd" },
    breaks: ["survives", "right model"],
  },
  {
    name: "stops for ever when two messages swap",
    job: mean(WantsItsNeighbourFirst),
    limits: noRedundancy,
    breaks: ["survives"],
  },
  {
    name: "divides by zero when block 0 comes first",
    job: mean(DividesByWhatCameBefore),
    limits: noRedundancy,
    breaks: ["finite"],
  },
  {
    name: "draws random numbers of its own",
    job: mean(DrawsItsOwnRandom),
    breaks: ["right model"],
  },
  {
    name: "keeps blocks in a static field",
    job: mean(SharesAStaticField),
    breaks: ["right model", "no bug", "survives"],
  },
  {
    name: "counts what was sent again at a time-out",
    job: { ...mean(SumsWhatIsSentAgain), syncTimeoutMs: 3000 },
    limits: noRedundancy,
    breaks: ["right model"],
  },
  {
    name: "a server that replies twice, in asgd",
    job: { ...star, serverCodec: RepliesTwice, sync: "asgd" },
    limits: noRedundancy,
    breaks: ["right model"],
  },
  {
    name: "a server that forgets to answer one node",
    job: { ...star, serverCodec: ForgetsToAnswer },
    limits: noRedundancy,
    breaks: ["survives"],
  },
  {
    name: "a server that counts contributions without a round",
    job: { ...star, serverCodec: CountsContributions },
    limits: noRedundancy,
    breaks: ["right model", "survives"],
  },
  {
    name: "PT-10: federated averaging with a fixed number of local steps",
    job: { codec: FedAvgClient, parameters: { local_steps: 150 }, promise: "agreement" },
    breaks: ["same model"],
  },

  // In place of parts of a node.
  {
    name: "PT-1: what comes early is thrown away at the end of a step",
    job: withParts(plain, { createExchange: (o) => new ForgetfulExchange(o) }),
    breaks: ["survives", "ends"],
  },
  {
    name: "PT-2: lists of envelopes are not iterated",
    job: withParts(mean(ListedMean), { createActor: generatorsOnly }),
    breaks: ["survives"],
  },
  {
    name: "PT-4: the parameter server does not start",
    job: withParts(star, {
      openMesh: (o) =>
        o.nodeId < 0
          ? Promise.reject(new TypeError("start_transfer() missing 1 argument"))
          : Mesh.open(o),
    }),
    limits: noRedundancy,
    breaks: ["survives"],
  },
  {
    name: "PT-5: what is sent is sent twice",
    job: withParts(
      plain,
      exchangeWith(({ post }) => ({
        post: (target, message) => {
          post(target, message);
          post(target, message);
        },
      })),
    ),
    breaks: ["sent as said"],
  },
  {
    name: "PT-6: the rescue hook is called twice",
    job: {
      ...withParts(plain, { createActor: (o) => new TwiceRescuingActor(o) }),
      syncTimeoutMs: 3000,
    },
    breaks: ["one rescue per time-out"],
  },
  {
    name: "PT-7: a full receive queue drops",
    job: withParts(plain, { createExchange: (o) => new SmallQueueExchange(o) }),
    breaks: ["survives", "accounted"],
  },
  {
    name: "PT-13: a server tags its answers with the step of the last contributor",
    job: withParts({ codec: UnevenClient }, { createExchange: lastContributorsStep }),
    limits: noRedundancy,
    breaks: ["survives"],
  },
  {
    name: "PT-14: a server's failure is only logged",
    job: withParts(
      star,
      exchangeWith(({ nodeId, onFailure }) =>
        nodeId < 0 ? { onFailure: () => {} } : { onFailure },
      ),
    ),
    limits: noRedundancy,
    breaks: ["survives", "ends"],
  },
  {
    name: "PT-15: a straggler slower than a fixed time-out kills the job",
    job: { ...plain, syncTimeoutMs: 1000 },
    breaks: ["survives"],
  },
  {
    name: "ssgd hands messages over on arrival",
    job: withParts(plain, { createPolicy: () => asynchronousSgd() }),
    breaks: ["own step"],
  },
  {
    name: "ssgd drops what is early",
    job: withParts(plain, {
      createPolicy: ({ isServer }) => dropping(isServer, (lead) => lead > 0),
    }),
    breaks: ["survives", "ends"],
  },
  {
    name: "ssgd hands over what is late",
    job: withParts(plain, { createPolicy: ({ isServer }) => handingOverLate(isServer) }),
    breaks: ["own step"],
  },
  {
    name: "ssgd allows no lead",
    job: withParts(plain, {
      createPolicy: ({ isServer }) => (isServer ? asynchronousSgd() : synchronousSgd(0)),
    }),
    breaks: ["survives"],
  },
  {
    name: "ssp does not keep count of steps",
    job: withParts(alone, { createPolicy: () => asynchronousSgd() }),
    breaks: ["within bounds"],
  },
  {
    name: "a call of a codec does not wait for the last one",
    job: withParts(mean(AsyncMean), { createActor: (o) => new HastyActor(o) }),
    breaks: ["one call at a time"],
  },
  {
    name: "blocks are passed on a second time when there is a moment",
    job: withParts(plain, {
      openMesh: openMesh(({ onBlock, random }) => ({ onBlock: sometimesTwice(onBlock, random) })),
    }),
    breaks: ["once and in order"],
  },

  {
    name: "a message is put into the inbox twice",
    job: withParts(plain, { createExchange: (o) => new StutteringExchange(o) }),
    breaks: ["handed over once"],
  },
  {
    name: "a timer is left when everything is done",
    job: withParts(
      plain,
      exchangeWith(({ clock }) => {
        clock.setTimer(600_000, () => {});
        return {};
      }),
    ),
    breaks: ["nothing left"],
  },
  {
    name: "what handles messages throws at the third",
    job: withParts(plain, {
      openMesh: openMesh(({ onBlock }) => ({ onBlock: throwing(onBlock) })),
    }),
    breaks: ["no bug"],
  },

  // In the insides of the link.
  {
    name: "the link does not suppress duplicates",
    job: plain,
    plant: () => alsoTake((_, __, isNew) => !isNew),
    breaks: ["once and in order"],
  },
  {
    name: "the link delivers in the order of arrival",
    job: plain,
    plant: () =>
      alsoTake(
        (window, frame, isNew) => isNew && frame.sequence > window.acknowledgement.acknowledged,
      ),
    breaks: ["once and in order"],
  },
  {
    name: "the link acknowledges before it has what is missing",
    job: plain,
    plant: () =>
      patch(ReceivingWindow.prototype, "acknowledgement", (said: Acknowledgement) =>
        said.early === 0 ? said : { acknowledged: said.acknowledged + 1, early: 0 },
      ),
    breaks: ["survives", "ends", "once and in order"],
  },
  {
    name: "the link sends nothing again",
    job: plain,
    plant: () => patch(SendingWindow.prototype, "wakeAt", () => Infinity),
    breaks: ["survives", "ends"],
  },
  {
    name: "the link does not check its checksums",
    job: withParts(plain, {
      openMesh: openMesh(({ transport }) => ({ transport: withoutChecksums(transport) })),
    }),
    breaks: ["once and in order", "survives", "no bug", "ends"],
  },
  {
    name: "a process that starts again has the link ids of the one before",
    job: withParts(plain, {
      openMesh: openMesh(({ nodeId }) => ({ random: seededRandom(nodeId) })),
    }),
    breaks: ["survives", "ends", "once and in order", "no bug"],
  },
  {
    name: "the link sends more than it has credit for",
    job: withParts(plain, { openMesh: openMesh(() => ({ windowFrames: undefined })) }),
    breaks: ["within credit"],
  },
  {
    name: "the link takes the first piece for the whole message",
    job: plain,
    plant: () =>
      patch(
        ReceivingWindow.prototype,
        "assemble",
        () =>
          ({ payload }: Frame) =>
            payload,
      ),
    breaks: ["survives", "ends", "no bug"],
  },
  {
    name: "the link never takes silence for death",
    job: plain,
    plant: () =>
      patch(
        LinkEndpoint,
        "open",
        (old) => (options) => old.call(LinkEndpoint, { ...options, deadAfterMs: 1e9 }),
      ),
    breaks: ["survives", "ends"],
  },
];

function throwing(onBlock: MeshOptions["onBlock"]): MeshOptions["onBlock"] {
  let count = 0;
  return (from, message) => {
    if (++count === 3) throw new Error("third");
    onBlock(from, message);
  };
}

function sometimesTwice(onBlock: MeshOptions["onBlock"], random: Random): MeshOptions["onBlock"] {
  const draws = random.fork("planted");
  return (from, message) => {
    onBlock(from, message);
    if (draws.uint32() % 16 === 0) onBlock(from, message);
  };
}

function dropping(
  isServer: boolean,
  isDropped: (lead: number) => boolean,
): ReturnType<typeof synchronousSgd> {
  const sound = isServer ? asynchronousSgd() : synchronousSgd(256);
  return {
    name: sound.name,
    judge: (message, node, position) =>
      isDropped(message.step - position.step) ? "late" : sound.judge(message, node, position),
  };
}

function handingOverLate(isServer: boolean): ReturnType<typeof synchronousSgd> {
  const sound = isServer ? asynchronousSgd() : synchronousSgd(256);
  return {
    name: sound.name,
    judge: (message, node, position) =>
      message.step < position.step ? "deliver" : sound.judge(message, node, position),
  };
}
