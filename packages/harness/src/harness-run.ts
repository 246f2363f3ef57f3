import {
  Codec,
  PARAMETER_SERVER,
  PsgdError,
  isPsgdError,
  layoutOfTensor,
  nodeName,
  seededRandom,
  sleep,
  type BlockId,
  type BlockWeight,
  type CodecClass,
  type GlobalSettings,
  type Logger,
  type NodeId,
  type Random,
  type TensorLayout,
} from "@psgd/core";
import { constructCodec, systemClock } from "@psgd/runtime";
import {
  BlockExchange,
  CodecActor,
  DEFAULT_STALENESS,
  SYNC_POLICIES,
  asynchronousSgd,
  type BlockMessage,
  type ExchangeCodec,
  type OptimizerRule,
  type SyncPolicyName,
} from "@psgd/sgd";
import { HarnessPost } from "./harness-post.js";
import {
  digestOf,
  requireFinite,
  requireMean,
  requireSameBits,
  requireUntouchedWeights,
  type Agreement,
  type RoundResults,
} from "./result-checks.js";
import { standIn } from "./stand-in.js";
import { explainWaits, type NodeView } from "./simulation/wait-for.js";
import { VirtualClock } from "./virtual-clock.js";

/** What workers run, and the parameter server, if there is one. */
export interface CodecPair {
  readonly codec: CodecClass;
  readonly server: CodecClass | undefined;
}

/** A harness run with nothing left open. */
export interface HarnessPlan extends CodecPair {
  readonly rule: OptimizerRule;
  readonly settings: GlobalSettings;
  readonly sync: SyncPolicyName;
  readonly layout: TensorLayout;
  readonly perTensor: boolean;
  /** With `perTensor`, where tensors have codecs of their own: those, in the order of the layout. */
  readonly codecsByTensor?: readonly CodecPair[];
  readonly seed: number;
  readonly agreement: Agreement;
  readonly tolerance: number;
  readonly callTimeoutMs: number;
  /** Which of so many things happens next, instead of one drawn at random. */
  readonly choose?: (eventCount: number) => number;
  /** Looks at results itself; they are not checked then. */
  readonly probe?: HarnessProbe;
  /** Asked after each step that all workers have taken: the run ends when it says so, and what is on its way arrives. */
  readonly isEnough?: (steps: number) => boolean;
}

/** A message as it is seen when it is sent. */
export interface SentMessage {
  readonly from: NodeId;
  readonly to: NodeId;
  /** Which codec's; below 0 that of none. */
  readonly variableId: number;
  readonly step: number;
  readonly bytes: number;
  /** How many messages of its step wait for one another up to this one, itself included. */
  readonly depth: number;
}

/** Chooses what nodes compute, and sees what becomes of it. */
interface HarnessProbe {
  /** The model that all nodes begin with. @defaultValue gaussian */
  readonly start?: Readonly<Float32Array>;
  /** What gradient descent would subtract for a block. */
  delta(place: { round: number; blockId: BlockId; weights: Readonly<Float32Array> }): Float32Array;
  /** @param weights - after the result was applied */
  onResult(
    node: NodeId,
    result: Readonly<Float32Array>,
    weights: Readonly<Float32Array>,
    round: number,
  ): void;
  /** Sees each message when it is sent. */
  onMessage?(message: SentMessage): void;
  /** Sees the codecs of each node when all have come to the end, before they are disposed. */
  onEnd?(node: NodeId, codecs: readonly Codec[]): void;
}

/** What the parameter server runs for a tensor that nobody sends it. */
class SilentCodec extends Codec {}

interface HarnessNode {
  readonly nodeId: NodeId;
  readonly exchange: BlockExchange;
  readonly codecs: readonly ExchangeCodec[];
  readonly weights: Float32Array;
  /** The copy of the weights that the codecs see, and may only read. */
  readonly shownWeights: Float32Array;
  round: number;
  isPushing: boolean;
  /** Set while the node may compute its next round. */
  compute: (() => void) | undefined;
  /** By round: whom it heard. */
  readonly heard: Map<number, Set<NodeId>>;
  /** By round: whom it sent to. */
  readonly sent: Map<number, Set<NodeId>>;
  /** By round: the longest chain of messages that has reached it. */
  readonly depths: Map<number, number>;
  /** The last round in which `onSyncTimeout` sent something. */
  retriedRound: number | undefined;
}

const LEARNING_RATE = 0.05;

/** This many messages per pair of nodes and codec without a result on any node never end. */
const MAX_FRUITLESS_PER_PAIR = 1000;

/** One run of all nodes: the order of computing and delivering is drawn from the seed and the schedule's number. */
export class HarnessRun {
  /** The bits of each result that is to agree, by node and round. */
  readonly digests = new Map<string, string>();
  readonly codecName: string;
  /** What has happened, from the first to the last. */
  readonly #events: (readonly [node: NodeId, step: number, from: NodeId | undefined])[] = [];
  /** Steps that all workers have taken. */
  stepsOfAll = 0;
  readonly #plan: HarnessPlan;
  readonly #log: Logger;
  readonly #random: Random;
  readonly #clock = new VirtualClock();
  readonly #post = new HarnessPost();
  readonly #nodes = new Map<NodeId, HarnessNode>();
  readonly #results = new Map<number, Map<NodeId, Float32Array>>();
  /** Of messages on their way to a codec: their round, and the length of the chain that led to them. */
  readonly #chains = new WeakMap<object, { readonly step: number; readonly depth: number }>();
  #failure: { readonly error: unknown } | undefined;
  #isRescue = false;
  #fruitlessCount = 0;
  #isStopped = false;

  constructor(plan: HarnessPlan, schedule: number, log: Logger) {
    this.#plan = plan;
    this.#log = log;
    this.#random = seededRandom(`${plan.seed}/schedule ${schedule}`);
    const names = (plan.codecsByTensor ?? [plan]).map(({ codec, server }) =>
      server === undefined ? codec.name : `${codec.name} with ${server.name}`,
    );
    this.codecName = [...new Set(names)].join(", ");
  }

  get events(): readonly string[] {
    return this.#events.map(([node, step, from]) =>
      from === undefined
        ? `${nodeName(node)} computes its blocks of step ${step}`
        : `${nodeName(node)} gets a message of step ${step} from ${nodeName(from)}`,
    );
  }

  get messageCount(): number {
    return this.#post.sentCount;
  }

  get messageBytes(): number {
    return this.#post.sentBytes;
  }

  get lateCount(): number {
    return this.#all().reduce((sum, { exchange }) => sum + exchange.counts.late, 0);
  }

  /** Over all nodes: messages by their staleness. */
  get stalenessCounts(): (readonly [number, number])[] {
    const counts = new Map<number, number>();
    for (const { exchange } of this.#all())
      for (const [staleness, count] of exchange.counts.staleness)
        counts.set(staleness, (counts.get(staleness) ?? 0) + count);
    return [...counts].sort(([a], [b]) => a - b);
  }

  get maxStaleness(): number {
    return Math.max(
      0,
      ...this.#all().flatMap(({ exchange }) => [...exchange.counts.staleness.keys()]),
    );
  }

  /** @throws {PsgdError} the first thing that is wrong */
  async complete(): Promise<void> {
    const { settings, codec, server } = this.#plan;
    for (const nodeId of settings.nodes) this.#nodes.set(nodeId, this.#createNode(nodeId, codec));
    if (server !== undefined) {
      this.#nodes.set(PARAMETER_SERVER, this.#createNode(PARAMETER_SERVER, server));
    }
    for (const nodeId of settings.nodes) {
      this.#train(this.#nodes.get(nodeId)!).catch((error: unknown) => this.#fail(error));
    }
    await this.#schedule();
    for (const node of this.#all()) {
      this.#requireUntouchedWeights(node);
      const codecs = node.codecs.map(({ actor }) => actor.codec);
      this.#plan.probe?.onEnd?.(node.nodeId, codecs);
    }
    // Once by the job, and once more by whoever wants to be sure.
    for (const { codecs } of [...this.#all(), ...this.#all()]) {
      for (const { actor } of codecs) actor.dispose();
    }
  }

  /** Lets one thing after another happen until all nodes have all results and nothing is on its way. */
  async #schedule(): Promise<void> {
    for (;;) {
      await this.#settle();
      this.#requireHealthy();
      this.#stopIfEnough();
      const ready = this.#isStopped ? [] : this.#all().filter((node) => node.compute !== undefined);
      const eventCount = ready.length + this.#post.openLinkCount;
      if (eventCount > 0) {
        const next = this.#plan.choose?.(eventCount) ?? this.#random.uint32() % eventCount;
        if (next < ready.length) this.#compute(ready[next]!);
        else this.#deliver(next - ready.length);
      } else if (!this.#isStopped && this.#waiting().length > 0) {
        await this.#rescue();
      } else return;
    }
  }

  #stopIfEnough(): void {
    const { settings, isEnough } = this.#plan;
    const steps = Math.min(...settings.nodes.map((node) => this.#nodes.get(node)!.round));
    if (steps === this.stepsOfAll) return;
    this.stepsOfAll = steps;
    this.#isStopped ||= isEnough?.(steps) ?? false;
  }

  /** Until no node can do anything by itself: real time only passes for codecs that await something real. */
  async #settle(): Promise<void> {
    const { callTimeoutMs } = this.#plan;
    await this.#clock.advance(0);
    const startedAt = systemClock.now();
    while (this.#all().some(({ codecs }) => codecs.some(({ actor }) => actor.isBusy))) {
      if (systemClock.now() - startedAt > callTimeoutMs) {
        await this.#clock.advance(callTimeoutMs);
        return;
      }
      await sleep(systemClock, 1);
      await this.#clock.advance(0);
    }
  }

  #compute(node: HarnessNode): void {
    this.#events.push([node.nodeId, node.round, undefined]);
    node.compute!();
  }

  #deliver(link: number): void {
    const { letter, message } = this.#post.take(link);
    const { from, to, isBackup } = letter;
    this.#events.push([to, message.step, from]);
    this.#log.info(
      `----------- Node:${from} ${isBackup ? "Backup" : "Transmitting"} to ${to} successful -----------`,
    );
    const receiver = this.#nodes.get(to)!;
    note(receiver.heard, message.step, from);
    const { content, step } = message;
    if (typeof content === "object" && content !== null)
      this.#chains.set(content, { step, depth: letter.depth });
    receiver.exchange.accept(from, message);
  }

  /** Nothing is on its way and nodes wait: what a time-out is in production. */
  async #rescue(): Promise<void> {
    const waiting = this.#waiting();
    for (const { nodeId } of waiting) {
      this.#log.warn(`Timeout occurred while get the result from worker ${nodeId}.`);
    }
    const stuck = this.#deadlock(waiting);
    this.#isRescue = true;
    await this.#clock.advance(this.#syncTimeoutMs);
    this.#isRescue = false;
    if (!isPsgdError(this.#failure?.error, "SYNC_TIMEOUT")) return;
    this.#log.error(verdictOn(waiting));
    throw stuck;
  }

  /** Here and not where messages arrive: a generator without an end never lets one arrive. */
  #send(node: HarnessNode, target: NodeId, message: BlockMessage): void {
    const limit = MAX_FRUITLESS_PER_PAIR * this.#nodes.size ** 2 * node.codecs.length;
    if (++this.#fruitlessCount > limit) throw this.#endless(node);
    if (this.#isRescue) node.retriedRound = node.round;
    note(node.sent, message.step, target);
    // What a node computes by itself waits for nobody, whatever has come meanwhile.
    const depth = node.isPushing ? 1 : 1 + (node.depths.get(message.step) ?? 0);
    const bytes = this.#post.send(node.nodeId, target, message, {
      isBackup: this.#isRescue,
      depth,
    });
    const { step, variableId } = message;
    this.#plan.probe?.onMessage?.({
      ...{ from: node.nodeId, to: target, variableId, step, bytes, depth },
    });
  }

  async #train(node: HarnessNode): Promise<void> {
    const { settings, rule } = this.#plan;
    const initialWeights = node.weights.slice();
    for (; node.round < settings.stepCount; node.round++) {
      await node.exchange.begin(node.round);
      await new Promise<void>((resolve) => {
        node.compute = resolve;
      });
      node.compute = undefined;
      const { round } = node;
      const role = node.exchange.roleIn(round, node.nodeId);
      if (role === "rest") {
        node.exchange.rest(round);
        continue;
      }
      if (role === "listen") await node.exchange.listen(round);
      else {
        node.isPushing = true;
        await node.exchange.push(round, this.#computeBlocks(node));
        node.isPushing = false;
      }
      const result = await node.exchange.pull(round);
      this.#log.info(`----------- Node:${node.nodeId} Decode successful -----------`);
      this.#fruitlessCount = 0;
      this.#requireUntouchedWeights(node);
      rule.apply(result, node.weights, initialWeights);
      node.shownWeights.set(node.weights);
      if (this.#plan.probe === undefined) this.#collect(round, node.nodeId, result);
      else this.#plan.probe.onResult(node.nodeId, result, node.weights, round);
    }
  }

  #computeBlocks({ nodeId, round, weights }: HarnessNode): BlockWeight[] {
    const { settings, layout, rule, probe } = this.#plan;
    return settings.nodeToBlocks[nodeId]!.map((blockId) => {
      const content = probe?.delta({ round, blockId, weights }) ?? this.#delta(round, blockId);
      rule.content(content, weights);
      return { content, blockId, step: round, sampleCount: settings.batchSize, layout };
    });
  }

  /** What gradient descent would subtract for a block: the same on every node that computes it. */
  #delta(round: number, blockId: number): Float32Array {
    const random = seededRandom(`${this.#plan.seed}/round ${round}/block ${blockId}`);
    return Float32Array.from({ length: this.#plan.layout.size }, () => random.normal());
  }

  #collect(round: number, nodeId: NodeId, result: Float32Array): void {
    const { settings } = this.#plan;
    const results = this.#results.get(round) ?? new Map<NodeId, Float32Array>();
    this.#results.set(round, results.set(nodeId, result.slice()));
    if (results.size < settings.nodeCount) return;
    this.#results.delete(round);
    // By node, not by who was first: faults are told in the same order each time.
    this.#check(round, new Map(settings.nodes.map((node) => [node, results.get(node)!])));
    this.#log.info(`-----------Test complete ${round + 1}/${settings.stepCount} -----------`);
  }

  #check(round: number, results: RoundResults): void {
    const { settings, layout, agreement, tolerance } = this.#plan;
    requireFinite(round, results, this.codecName);
    if (agreement === "every-round") this.#requireAgreement("result of", round, results);
    if (agreement === "last-round" && round === settings.stepCount - 1) {
      const models = [...results.keys()].map(
        (node) => [node, this.#nodes.get(node)!.weights] as const,
      );
      this.#requireAgreement("model after", round, new Map(models));
    }
    if (tolerance === Infinity) return;
    const mean = new Float64Array(layout.size);
    for (const blockId of settings.blocks) {
      for (const [i, value] of this.#delta(round, blockId).entries()) {
        mean[i]! += value / settings.blockCount;
      }
    }
    requireMean(round, results, mean, tolerance, this.codecName);
  }

  /** Between nodes here and now, between schedules when both have run. */
  #requireAgreement(what: string, round: number, results: RoundResults): void {
    requireSameBits(what, round, results, this.codecName);
    for (const [node, result] of results) {
      this.digests.set(placeOf(node, round), digestOf(result));
    }
  }

  #createNode(nodeId: NodeId, codecClass: CodecClass): HarnessNode {
    const { settings, layout, sync, seed, server, callTimeoutMs } = this.#plan;
    // Every node starts from the same model.
    const random = seededRandom(`${seed}/weights`);
    const weights =
      this.#plan.probe?.start?.slice() ??
      Float32Array.from({ length: layout.size }, () => random.normal());
    const shownWeights = weights.slice();
    const tensors = this.#plan.perTensor ? layout.tensors : [undefined];
    const depths = new Map<number, number>();
    const codecs = tensors.map((tensor, variableId): ExchangeCodec => {
      const pair = this.#plan.codecsByTensor?.[variableId];
      const ownClass = nodeId === PARAMETER_SERVER ? pair?.server : pair?.codec;
      const tensorClass = pair === undefined ? codecClass : (ownClass ?? SilentCodec);
      const report = (message: string): string => `Codec: ${tensorClass.name}, Report: ${message}.`;
      const constructed = constructCodec(tensorClass, {
        nodeId,
        settings,
        layout: tensor === undefined ? layout : layoutOfTensor(tensor),
        random: seededRandom(`${seed}/node ${nodeId}/codec ${variableId}`),
        log: {
          info: (message) => this.#log.info(report(message)),
          warn: (message) => this.#log.warn(report(message)),
          error: (message) => this.#log.error(report(message)),
        },
        currentWeights: () =>
          tensor === undefined
            ? shownWeights
            : shownWeights.subarray(tensor.offset, tensor.offset + tensor.size),
        learningRate: () => LEARNING_RATE,
      });
      const isWatched = this.#plan.probe?.onMessage !== undefined;
      const codec = isWatched ? this.#watchChains(constructed, depths) : constructed;
      const actor = new CodecActor({
        codec,
        nodeCount: settings.nodeCount,
        hasServer: server !== undefined,
        clock: this.#clock,
        callTimeoutMs,
      });
      return { actor, tensor };
    });
    const exchange = new BlockExchange({
      nodeId,
      workers: settings.nodes,
      layout,
      codecs,
      policy:
        nodeId === PARAMETER_SERVER
          ? asynchronousSgd()
          : SYNC_POLICIES[sync]({
              ...settings,
              staleness: DEFAULT_STALENESS,
            }),
      clock: this.#clock,
      syncTimeoutMs: this.#syncTimeoutMs,
      isConnected: () => true,
      post: (target, message) => this.#send(node, target, message),
      onFailure: (error) => this.#fail(error),
      log: this.#log,
    });
    const node: HarnessNode = {
      nodeId,
      exchange,
      codecs,
      weights,
      shownWeights,
      round: 0,
      isPushing: false,
      compute: undefined,
      heard: new Map(),
      sent: new Map(),
      depths,
      retriedRound: undefined,
    };
    return node;
  }

  /** Notes the chain of each message when the codec is handed it: it may have waited since it came. */
  #watchChains(codec: Codec, depths: Map<number, number>): Codec {
    return standIn(() => codec, {
      receiveBlocks: (content) => {
        const chain = this.#chains.get(Object(content) as object);
        if (chain !== undefined)
          depths.set(chain.step, Math.max(chain.depth, depths.get(chain.step) ?? 0));
        return codec.receiveBlocks(content);
      },
    });
  }

  #requireUntouchedWeights({ nodeId, round, weights, shownWeights }: HarnessNode): void {
    const isUntouched = Buffer.from(weights.buffer).equals(Buffer.from(shownWeights.buffer));
    requireUntouchedWeights(isUntouched, { node: nodeId, round, codec: this.codecName });
  }

  /** Longer than any call, and a whole number of them. */
  get #syncTimeoutMs(): number {
    return 10 * this.#plan.callTimeoutMs;
  }

  #all(): HarnessNode[] {
    return [...this.#nodes.values()];
  }

  /** The nodes that have not come to the end. */
  #waiting(): HarnessNode[] {
    return this.#all().filter(
      ({ nodeId, round }) => nodeId !== PARAMETER_SERVER && round < this.#plan.settings.stepCount,
    );
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
  }

  #requireHealthy(): void {
    if (this.#failure !== undefined) throw this.#failure.error as Error;
  }

  /** Says who waits for what. */
  #deadlock(waiting: readonly HarnessNode[]): PsgdError {
    const server = this.#nodes.get(PARAMETER_SERVER);
    const rounds = new Set(waiting.map(({ round }) => round));
    const round = Math.min(...rounds);
    const names = waiting
      .filter((node) => node.round === round)
      .map(({ nodeId }) => nodeName(nodeId));
    const lines = waiting.map((node) => {
      const missing = node.codecs.flatMap(({ actor, tensor }) =>
        actor.codec.hasResult
          ? []
          : [`${actor.codec.constructor.name}${tensor === undefined ? "" : ` of ${tensor.name}`}`],
      );
      return (
        `${nodeName(node.nodeId)} waits in round ${node.round} for setResult of ${missing.join(", ")}, ` +
        traffic(node, node.round)
      );
    });
    if (server !== undefined) {
      lines.push(
        ...[...rounds].map(
          (round) => `parameter server in round ${round} ${traffic(server, round)}`,
        ),
      );
    }
    const views = [...waiting, ...(server === undefined ? [] : [server])].map(viewOf);
    lines.push(...explainWaits(views, this.#plan.settings));
    const isSilent = this.#all().every(({ sent }) => sent.size === 0);
    return new PsgdError(
      "SYNC_TIMEOUT",
      `result of round ${round}: expected on every node, got none on ${names.join(", ")}, and nothing is on its way; ` +
        (isSilent
          ? "no node has sent anything: does `updateBlocks` return its `netEncapsulation`, or call setResult? " +
            `If ${this.codecName} only answers, as the codec of a parameter server does, name the codec of its nodes, and this one as \`--server-codec\``
          : `${lines.join("; ")}; ` +
            "each round must end in setResult on every node: look for a message not sent, or a condition never met, " +
            "or let onSyncTimeout send again what may be missing"),
      { details: { nodes: waiting.map(({ nodeId }) => nodeId), step: round } },
    );
  }

  #endless({ nodeId, round }: HarnessNode): PsgdError {
    const rule = this.#waiting().length > 0 ? "a result on some node" : "an end of the messages";
    return new PsgdError(
      "SYNC_TIMEOUT",
      `${rule}: expected after fewer than ${this.#fruitlessCount} messages, got none; ${nodeName(nodeId)} in round ${round}; ` +
        "look for messages that answer each other without end, and for generators that never return",
      { details: { node: nodeId, step: round } },
    );
  }
}

function viewOf({ nodeId, round, compute, heard }: HarnessNode): NodeView {
  const byPeer = new Map<NodeId, Set<number>>();
  for (const [step, peers] of heard)
    for (const peer of peers) byPeer.set(peer, (byPeer.get(peer) ?? new Set()).add(step));
  return { nodeId, step: round, isWaiting: compute === undefined, heard: byPeer };
}

/** How results are told apart between schedules. */
function placeOf(node: NodeId, round: number): string {
  return JSON.stringify({ node, round });
}

/** In the words of the seed. */
function verdictOn(waiting: readonly HarnessNode[]): string {
  return waiting.some(({ round, retriedRound }) => round === retriedRound)
    ? "Decode timeout."
    : "Timeout occurred and retry mechanism is not available.";
}

function note(places: Map<number, Set<NodeId>>, round: number, node: NodeId): void {
  places.set(round, (places.get(round) ?? new Set()).add(node));
}

function traffic({ heard, sent }: HarnessNode, round: number): string {
  const names = (nodes: ReadonlySet<NodeId> | undefined): string =>
    nodes === undefined
      ? "nobody"
      : [...nodes]
          .sort((a, b) => a - b)
          .map(nodeName)
          .join(", ");
  return `sent to ${names(sent.get(round))}, heard ${names(heard.get(round))}`;
}
