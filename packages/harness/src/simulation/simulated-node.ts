import {
  PARAMETER_SERVER,
  PsgdError,
  SILENT,
  fromErrorRecord,
  nodeName,
  seededRandom,
  sleep,
  toErrorRecord,
  type BlockWeight,
  type Codec,
  type CodecReturn,
  type GlobalSettings,
  type NodeId,
  type TensorLayout,
} from "@psgd/core";
import { constructCodec, type Mesh } from "@psgd/runtime";
import type { BlockExchange, CodecActor, Emit, OptimizerRule } from "@psgd/sgd";
import { standIn } from "../stand-in.js";
import type { Connection } from "./broker.js";
import { contentHash } from "./content-hash.js";
import type { Invariants } from "./invariants.js";
import type { Machine } from "./machine.js";
import type { QuadraticProblem } from "./quadratic-problem.js";
import type { SimulatedJob } from "./simulated-job.js";
import type { Trace, TraceKind } from "./trace.js";
import type { NodeView } from "./wait-for.js";

/** What one node needs of its world. */
export interface NodeSurroundings {
  readonly job: SimulatedJob;
  readonly seed: number;
  readonly settings: GlobalSettings;
  readonly layout: TensorLayout;
  readonly rule: OptimizerRule;
  readonly problem: QuadraticProblem;
  readonly nodes: readonly NodeId[];
  readonly invariants: Invariants;
  readonly trace: Trace;
  /** Frames of one link that may be on their way, if they are few. */
  readonly windowFrames: number | undefined;
  /** Virtual time that a step's gradient takes. */
  readonly computeMs: number;
  /** The call of the codec that is made to throw, if one is. */
  readonly throwingCall: number | undefined;
}

export type NodeState = "runs" | "done" | "failed" | "dead";

/** Far more than any job of a scenario's size sends. */
const MOST_MESSAGES = 2_000;

/** How long a failing node gives its last words to arrive, as in production. */
const LAST_WORDS_MS = 1_000;

/**
 * One process of a node: the steps of the production loop, with a closed form in the place of the engine. Everything
 * that decides something (mesh, links, exchange, policy, actor, codec) is the runtime's own; the invariants are told
 * what goes in and out of each.
 */
export class SimulatedNode implements NodeView {
  readonly nodeId: NodeId;
  readonly machine: Machine;
  readonly connection: Connection;
  readonly heard = new Map<NodeId, Set<number>>();
  state: NodeState = "runs";
  error: PsgdError | undefined;
  step = 0;
  isWaiting = false;
  readonly #around: NodeSurroundings;
  readonly #incarnation: number;
  #callCount = 0;
  #postCount = 0;
  #mesh: Mesh | undefined;
  #actor: CodecActor | undefined;
  #fail!: (error: PsgdError) => void;
  readonly #failure = new Promise<never>((_, reject) => {
    this.#fail = reject;
  });

  constructor(
    nodeId: NodeId,
    incarnation: number,
    world: { machine: Machine; connection: Connection },
    around: NodeSurroundings,
  ) {
    this.nodeId = nodeId;
    this.#incarnation = incarnation;
    this.machine = world.machine;
    this.connection = world.connection;
    this.#around = around;
    this.#failure.catch(() => {});
  }

  /**
   * Whether it was started again after a crash. No job waits for such a node; it must only do no harm until somebody
   * ends it.
   */
  get isStray(): boolean {
    return this.#incarnation > 0;
  }

  /** Runs the node from start to end. Never rejects. */
  async run(): Promise<void> {
    this.#record("starts", this.#incarnation);
    try {
      await this.#train();
      this.state = "done";
      this.#record("ends", this.step);
    } catch (error) {
      this.error = fromErrorRecord(toErrorRecord(error));
      // It travels, and names paths and lines of this machine: no two checkouts would have the same trace.
      this.error.stack = "";
      this.#record("fails", this.step);
      this.#around.invariants.forget(this.nodeId);
      this.#mesh?.abort(this.error);
      const closing = this.#mesh?.close() ?? Promise.resolve();
      const ended = new AbortController();
      await Promise.race([
        closing.then(() => ended.abort()),
        sleep(this.machine, LAST_WORDS_MS, ended.signal).catch(() => {}),
      ]);
      this.#actor?.dispose();
      this.state = "failed";
    }
    await this.connection.close();
  }

  async #train(): Promise<void> {
    const { problem, settings, rule, invariants, computeMs } = this.#around;
    const initialWeights = problem.initialWeights;
    const weights = initialWeights.slice();
    const race = <T>(work: Promise<T>): Promise<T> => Promise.race([work, this.#failure]);
    const exchange = this.#createExchange(weights);
    const mesh = await this.#openMesh(exchange);
    this.#mesh = mesh;
    await race(mesh.connect());
    if (this.nodeId !== PARAMETER_SERVER) {
      for (; this.step < settings.stepCount; this.step++) {
        const { step } = this;
        if (!this.isStray) invariants.comesTo(this.nodeId, step);
        await race(exchange.begin(step));
        if (!this.isStray) invariants.begins(this.nodeId, step);
        const role = exchange.roleIn(step, this.nodeId);
        if (role === "rest") {
          exchange.rest(step);
          continue;
        }
        if (role === "train") {
          await race(sleep(this.machine, computeMs));
          this.#record("computes", step);
          await race(exchange.push(step, this.#computeBlocks(weights)));
        } else await race(exchange.listen(step));
        await race(mesh.drained());
        this.isWaiting = true;
        const result = await race(exchange.pull(step));
        this.isWaiting = false;
        rule.apply(result, weights, initialWeights);
        this.#record("has a model", contentHash(weights));
        invariants.modelAfter(this.nodeId, step, weights);
        await race(this.machine.nextTurn());
      }
    }
    await race(mesh.finish());
    await race(mesh.close());
    invariants.requireAccounted(this.nodeId, exchange.counts);
    this.#actor?.dispose();
  }

  #computeBlocks(weights: Float32Array): BlockWeight[] {
    const { settings, problem, layout } = this.#around;
    return settings.nodeToBlocks[this.nodeId]!.map((blockId) => ({
      content: problem.content(blockId, weights),
      blockId,
      step: this.step,
      sampleCount: settings.batchSize,
      layout,
    }));
  }

  #createExchange(weights: Float32Array): BlockExchange {
    const { job, settings, layout, seed, problem, invariants } = this.#around;
    const isServer = this.nodeId === PARAMETER_SERVER;
    const codecClass = isServer ? job.server! : job.codec;
    const codec = constructCodec(codecClass, {
      nodeId: this.nodeId,
      settings,
      layout,
      random: seededRandom(`${seed}/codec of ${this.nodeId}`),
      log: SILENT,
      currentWeights: () => weights,
      learningRate: () => problem.learningRate,
    });
    const actor = job.parts.createActor({
      codec: this.#watchedCodec(codec),
      nodeCount: settings.nodeCount,
      hasServer: job.server !== undefined,
      clock: this.machine,
      callTimeoutMs: job.callTimeoutMs,
    });
    this.#watchActor(actor);
    this.#actor = actor;
    return job.parts.createExchange({
      nodeId: this.nodeId,
      workers: settings.nodes,
      layout,
      codecs: [{ actor, tensor: undefined }],
      policy: job.parts.createPolicy({
        isServer,
        sync: job.sync,
        nodeCount: settings.nodeCount,
        redundancy: settings.redundancy,
      }),
      clock: this.machine,
      syncTimeoutMs: job.syncTimeoutMs,
      isConnected: () => this.connection.status === "connected",
      post: (target, message) => {
        this.#requireAnEnd();
        invariants.sent(this.nodeId, target, message);
        this.#record("posts", message.step, target);
        this.#mesh!.post(target, message);
      },
      onFailure: (error) => this.#fail(error),
      log: SILENT,
    });
  }

  /** Here and not in the world: a generator without an end never gives it a turn. */
  #requireAnEnd(): void {
    if (++this.#postCount <= MOST_MESSAGES) return;
    const text = `messages of ${nodeName(this.nodeId)}: expected an end, got more than ${MOST_MESSAGES}`;
    this.#around.invariants.break("ends", text);
    throw new PsgdError("SYNC_TIMEOUT", text);
  }

  #openMesh(exchange: BlockExchange): Promise<Mesh> {
    const { seed, nodes, invariants, job, windowFrames } = this.#around;
    const bug = (message: string): void => invariants.break("no bug", message);
    return job.parts.openMesh({
      jobId: "sim",
      nodeId: this.nodeId,
      nodes,
      transport: this.connection,
      windowFrames,
      clock: this.machine,
      random: seededRandom(`${seed}/links of ${this.nodeId}/${this.#incarnation}`),
      log: { info: () => {}, warn: () => {}, error: bug },
      onBlock: (from, message) => {
        if (this.error === undefined) {
          invariants.arrived(from, this.nodeId, message, this.isStray);
          this.heard.set(from, (this.heard.get(from) ?? new Set()).add(message.step));
          this.#record("takes in", message.step, from);
        }
        exchange.accept(from, message);
      },
      onFailure: (error) => exchange.fail(error),
    });
  }

  /** The codec stays as its author wrote it; its calls are seen on their way in. */
  #watchedCodec(codec: Codec): Codec {
    const { invariants, throwingCall } = this.#around;
    const watched = <A extends unknown[]>(call: (...args: A) => CodecReturn) => {
      return (...args: A): CodecReturn => {
        invariants.callBegins(this.nodeId);
        let returned: CodecReturn;
        try {
          if (++this.#callCount === throwingCall) {
            this.#record("throws", this.#callCount);
            throw new Error("the scenario says so");
          }
          returned = call(...args);
        } finally {
          invariants.callEnds(this.nodeId);
        }
        if (!(returned instanceof Promise)) return returned;
        invariants.callBegins(this.nodeId);
        return returned.finally(() => invariants.callEnds(this.nodeId));
      };
    };
    return standIn(() => codec, {
      updateBlocks: watched((block: BlockWeight) => codec.updateBlocks(block)),
      onListen: watched((step: number) => codec.onListen(step)),
      receiveBlocks: watched((content: unknown) => codec.receiveBlocks(content)),
      onSyncTimeout: watched(() => {
        invariants.rescued(this.nodeId, this.step);
        return codec.onSyncTimeout();
      }),
    });
  }

  #watchActor(actor: CodecActor): void {
    const { invariants } = this.#around;
    const { nodeId } = this;
    const counted =
      (emit: Emit): Emit =>
      (envelope) => {
        emit(envelope);
        invariants.said(nodeId, envelope.targets.length);
      };
    const update = actor.update.bind(actor);
    const listen = actor.listen.bind(actor);
    const receive = actor.receive.bind(actor);
    const syncTimeout = actor.syncTimeout.bind(actor);
    Object.assign(actor, {
      update: (block: BlockWeight, emit: Emit) => update(block, counted(emit)),
      listen: (step: number, emit: Emit) => listen(step, counted(emit)),
      receive: (content: unknown, from: NodeId, step: number, emit: Emit) => {
        this.#record("hands over", step, from);
        if (this.error === undefined) {
          invariants.handedOver(nodeId, content, { from, step });
          invariants.requireOwnStep(nodeId, step, this.isWaiting ? this.step : undefined);
        }
        return receive(content, from, step, counted(emit));
      },
      syncTimeout: (step: number, emit: Emit) => syncTimeout(step, counted(emit)),
    });
  }

  #record(kind: TraceKind, value = 0, peer?: NodeId): void {
    this.#around.trace.record(kind, this.nodeId, value, peer);
  }
}

/** How a node ended, in words; of an error what was expected and what came. */
export function endInWords({ nodeId, state, step, error }: SimulatedNode): string {
  const reason = error === undefined ? "" : `: ${error.message.split("; ")[0]!}`;
  return `${nodeName(nodeId)} ${state} in step ${step}${reason}`;
}
