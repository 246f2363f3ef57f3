import {
  ASSIGNMENTS,
  PARAMETER_SERVER,
  SILENT,
  createSettings,
  layoutOf,
  seededRandom,
  type BlockAssignment,
  type BlockId,
  type Codec,
  type CodecClass,
  type CodecParameters,
  type CodecReturn,
  type GlobalSettings,
  type Logger,
  type NetEncapsulation,
  type NodeId,
} from "@psgd/core";

export interface ClusterOptions {
  readonly codec: CodecClass;
  readonly server?: CodecClass;
  readonly nodeCount: number;
  readonly redundancy?: number;
  readonly assignment?: keyof typeof ASSIGNMENTS;
  /** Values of the only tensor. */
  readonly size?: number;
  /** Of the tensors, where there are several. */
  readonly shapes?: readonly (readonly number[])[];
  readonly stepCount?: number;
  readonly parameters?: CodecParameters;
  readonly seed?: number;
  readonly log?: Logger;
}

interface Message {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly content: unknown;
}

/** Picks one of `count` things that may happen next. */
export type Pick = (count: number) => number;

/** What a node computes: the content of one of its blocks in one step. */
export type Compute = (place: { node: NodeId; block: BlockId; step: number }) => ArrayLike<number>;

/** The codecs of a job without a network: messages are copied when sent, and arrive in any order that is asked for. */
export class Cluster {
  readonly settings: GlobalSettings;
  readonly nodes: readonly Codec[];
  readonly server: Codec | undefined;
  /** All messages sent so far. */
  readonly sent: Message[] = [];
  /** Of the step at hand, on all nodes. */
  learningRate = 0.05;
  readonly #inFlight: Message[] = [];
  readonly #weights = new Map<NodeId, Float32Array>();

  constructor(options: ClusterOptions) {
    const { nodeCount, redundancy = 1, size = 3 } = options;
    const assignment: BlockAssignment = ASSIGNMENTS[options.assignment ?? "iid"]({
      nodeCount,
      redundancy,
    });
    this.settings = createSettings({
      assignment,
      batchSize: 1,
      stepCount: options.stepCount ?? 100,
      parameters: options.parameters ?? {},
      seed: options.seed ?? 1,
    });
    const shapes = options.shapes ?? [[size]];
    const layout = layoutOf(shapes.map((shape, i) => ({ name: `w${i}`, shape })));
    const create = (codec: CodecClass, nodeId: NodeId): Codec => {
      const weights = new Float32Array(layout.size);
      this.#weights.set(nodeId, weights);
      return new codec({
        nodeId,
        settings: this.settings,
        layout,
        random: seededRandom(nodeId),
        log: options.log ?? SILENT,
        currentWeights: () => weights,
        learningRate: () => this.learningRate,
      });
    };
    this.nodes = this.settings.nodes.map((node) => create(options.codec, node));
    this.server = options.server && create(options.server, PARAMETER_SERVER);
  }

  /** What a node's codec is shown as its weights: 0 unless a test writes into them. */
  weightsOf(node: NodeId): Float32Array {
    return this.#weights.get(node)!;
  }

  /** Bytes of all vectors sent so far. */
  get sentVectorBytes(): number {
    return this.sent.reduce((sum, { content }) => sum + vectorBytes(content), 0);
  }

  update(node: NodeId, block: BlockId, step: number, content: ArrayLike<number>): void {
    const { layout } = this.nodes[node];
    const vector = Float32Array.from(content);
    this.#send(
      node,
      this.nodes[node].updateBlocks({
        blockId: block,
        content: vector,
        step,
        sampleCount: node + 1,
        layout,
      }),
    );
  }

  /** What a node does when it has waited too long. */
  rescue(node: NodeId): void {
    this.#send(node, this.nodes[node].onSyncTimeout());
  }

  /** Hands over a copy of a message that was sent: for the first time, or again. */
  deliver(message: Message): void {
    const index = this.#inFlight.indexOf(message);
    if (index >= 0) this.#inFlight.splice(index, 1);
    const { to, content } = message;
    const codec = to === PARAMETER_SERVER ? this.server! : this.nodes[to];
    this.#send(to, codec.receiveBlocks(structuredClone(content)));
  }

  /**
   * Lets one step happen: every node computes its blocks in order, every message arrives, all as `pick` says.
   * With `atBarrier` a message reaches a worker only after that has computed and while it has no result, as in ssgd;
   * else whenever.
   * @returns the result of each node; `undefined` where there is none
   */
  runStep(
    step: number,
    compute: Compute,
    pick: Pick = () => 0,
    { atBarrier = false } = {},
  ): (Float32Array | undefined)[] {
    const roles = this.nodes.map((codec) => codec.roleIn(step));
    const toCompute = this.settings.nodeToBlocks.map((blocks, node) =>
      roles[node] === "train" ? [...blocks] : [],
    );
    // As early as can be: nodes that rest run ahead of those that train.
    for (const [node, codec] of this.nodes.entries())
      if (roles[node] === "listen") this.#send(node, codec.onListen(step));
    const isOpen = ({ to }: Message): boolean =>
      !atBarrier || to < 0 || (toCompute[to].length === 0 && !this.nodes[to].hasResult);
    for (;;) {
      const nodes = this.settings.nodes.filter((node) => toCompute[node].length > 0);
      const messages = this.#inFlight.filter(isOpen);
      if (nodes.length + messages.length === 0) break;
      const next = pick(nodes.length + messages.length);
      if (next < nodes.length) {
        const node = nodes[next];
        const block = toCompute[node].shift()!;
        this.update(node, block, step, compute({ node, block, step }));
      } else {
        this.deliver(messages[next - nodes.length]);
      }
    }
    this.#inFlight.length = 0;
    return this.nodes.map((codec) => (codec.hasResult ? codec.takeResult() : undefined));
  }

  #send(from: NodeId, returned: CodecReturn): void {
    if (returned === undefined || returned === null) return;
    // The codecs here answer at once.
    const envelopes = Symbol.iterator in returned ? returned : [returned as NetEncapsulation];
    for (const { targets, content } of envelopes) {
      // Copied before the codec is called again, as the contract says.
      for (const to of targets) {
        const message = { from, to, content: structuredClone(content) };
        this.sent.push(message);
        this.#inFlight.push(message);
      }
    }
  }
}

/** What a codec answers to a message that comes from nowhere. */
export function answerOf(codec: Codec | undefined, content: unknown): NetEncapsulation | undefined {
  return codec!.receiveBlocks(content) as NetEncapsulation | undefined;
}

/**
 * Calls `run` with every sequence of picks there is.
 * @returns how many there were
 */
export function inEveryOrder(run: (pick: Pick) => void): number {
  const path: { choice: number; count: number }[] = [];
  for (let runCount = 1; ; runCount++) {
    let depth = 0;
    run((count) => {
      if (depth === path.length) path.push({ choice: 0, count });
      return path[depth++].choice;
    });
    while (path.length > 0 && path[path.length - 1].choice + 1 === path[path.length - 1].count) {
      path.pop();
    }
    if (path.length === 0) return runCount;
    path[path.length - 1].choice++;
  }
}

/** A seeded order. */
export function shuffled(seed: string): Pick {
  const random = seededRandom(seed);
  return (count) => random.uint32() % count;
}

function vectorBytes(content: unknown): number {
  if (content instanceof Float32Array) return content.byteLength;
  const parts = typeof content === "object" && content !== null ? Object.values(content) : [];
  return parts.reduce<number>((sum, part) => sum + vectorBytes(part), 0);
}
