import {
  Codec,
  OwnBlocks,
  netEncapsulation,
  requireId,
  requireList,
  requireStep,
  type BlockWeight,
  type CodecContext,
  type NetEncapsulation,
  type NodeId,
} from "@psgd/core";
import { routesOver, topologyNamed, type Routes } from "../topologies/index.js";
import { AllGather } from "./all-gather.js";
import { meanOfDecoded, type Chain, type Decoded } from "./chain.js";
import { chainOf, type CompressionParts } from "./compressed-gradients.js";
import type { Segment } from "./compressor.js";
import { Compression } from "./error-feedback.js";
import { requireWhole, requireWholeBetween } from "./parameter.js";

/** When nodes exchange what, and how the mean becomes the next model. */
export interface Schedule {
  /** Steps from one exchange of a tensor to the next. */
  readonly localSteps: number;
  /**
   * Steps before the first exchange, of all tensors; twice as many before each next one, until they are `localSteps`.
   * @defaultValue `localSteps`
   */
  readonly firstLocalSteps?: number;
  /** Groups of tensors that take turns, evenly spread over the local steps: 1 sends the whole model at once. */
  readonly fragments: number;
  /** Of the outer optimizer: w ← w − rate · (momentum · v + Δ), v ← momentum · v + Δ, Δ the mean way. */
  readonly outerRate: number;
  readonly outerMomentum: number;
}

/** Tensors that are exchanged together, and what compression left out of them. */
interface Fragment {
  readonly tensors: readonly Segment[];
  readonly compression: Compression;
}

/**
 * Local steps, then compressed exchanges of how far each node has moved since the last one, peer to peer. All nodes take
 * the same outer step from the same place, so they agree, bit for bit, on what was just exchanged; in the job's last
 * step that is everything.
 */
export abstract class CompressedWeights extends Codec {
  static override readonly carries = "weights";

  readonly #chain: Chain;
  readonly #schedule: Schedule;
  readonly #fragments: readonly Fragment[];
  readonly #routes: Routes;
  readonly #gather = new AllGather<readonly Decoded[]>(this.settings.nodes);
  readonly #ownBlocks = new OwnBlocks(this.settings.nodeToBlocks[this.nodeId].length);
  /** What all nodes last agreed on, tensor by tensor. */
  #anchor: Float32Array | undefined;
  readonly #velocity = new Float32Array(this.layout.size);
  /** This node's weights, while it waits for the others. */
  #weights: Float32Array = new Float32Array(0);

  constructor(context: CodecContext) {
    super(context);
    const parts = this.compression();
    this.#chain = chainOf(parts);
    this.#schedule = this.schedule();
    const { localSteps, firstLocalSteps = localSteps } = this.#schedule;
    requireWhole(1, localSteps, "local_steps");
    requireWholeBetween(1, localSteps, firstLocalSteps, "first_local_steps");
    requireWhole(1, this.#schedule.fragments, "fragments");
    const { tensors } = this.layout;
    const count = Math.min(this.#schedule.fragments, tensors.length);
    // Every count-th tensor, so that each fragment has early and late layers (Streaming DiLoCo, section 2.1).
    this.#fragments = Array.from({ length: count }, (_, fragment) => ({
      tensors: tensors.filter((_tensor, index) => index % count === fragment),
      compression: new Compression(this.#chain, Number(parts.feedback)),
    }));
    this.#routes = this.routes();
  }

  /** Called once, before fields of subclasses are there; `schedule` and `routes`, too. */
  protected abstract compression(): CompressionParts;
  protected abstract schedule(): Schedule;
  protected routes(): Routes {
    return routesOver(
      topologyNamed(this.settings.param("topology", "mesh"), this.settings.nodeCount),
    );
  }

  override updateBlocks(block: BlockWeight): NetEncapsulation | undefined {
    this.#anchor ??= this.weights.slice();
    const weights = this.#ownBlocks.add(block);
    if (weights === undefined) return undefined;
    const { step } = block;
    const due = this.#dueIn(step);
    if (due.length === 0) {
      this.setResult(weights);
      return undefined;
    }
    this.#weights = weights;
    const anchor = this.#anchor;
    const sent = due.map(({ tensors, compression }) => {
      const way = gathered(tensors, (i) => anchor[i] - weights[i]);
      return compression.compress(way, packed(tensors), this.random);
    });
    const ways = sent.map(({ decoded }) => decoded);
    this.#combine(step, this.#gather.begin(step, this.nodeId, ways));
    const packets = sent.map(({ packet }) => packet);
    return this.#toNext(this.nodeId, step, packets);
  }

  override receiveBlocks(content: unknown): NetEncapsulation | undefined {
    const [origin, step, packets] = requireList(content, 3);
    requireId(origin, this.settings.nodes, "node id");
    requireStep(step, this.settings);
    if (!this.#gather.isNew(step, origin)) return undefined;
    const due = this.#dueIn(step);
    const list = requireList(packets, due.length);
    const ways = due.map(({ tensors }, i) =>
      this.#chain.decode(list[i], sizeOf(tensors), packed(tensors)),
    );
    this.#combine(step, this.#gather.add(step, origin, ways));
    return this.#toNext(origin, step, packets);
  }

  override dispose(): void {
    this.#ownBlocks.clear();
    this.#gather.clear();
  }

  override exportState(): unknown {
    return {
      anchor: this.#anchor?.slice(),
      velocity: this.#velocity.slice(),
      residuals: this.#fragments.map(({ compression }) => compression.exportState()),
    };
  }

  override importState(state: unknown): void {
    const saved = state as {
      anchor: Float32Array | undefined;
      velocity: Float32Array;
      residuals: readonly unknown[];
    };
    this.#anchor = saved.anchor?.slice();
    this.#velocity.set(saved.velocity);
    for (const [i, { tensors, compression }] of this.#fragments.entries())
      compression.importState(saved.residuals[i], sizeOf(tensors));
  }

  /** The fragments that are exchanged in a step. */
  #dueIn(step: number): readonly Fragment[] {
    if (step === this.settings.stepCount - 1) return this.#fragments;
    const { localSteps, firstLocalSteps = localSteps } = this.#schedule;
    let begin = 0;
    for (let steps = firstLocalSteps; steps < localSteps; steps *= 2) {
      begin += steps;
      if (step + 1 === begin) return this.#fragments;
      if (step < begin) return [];
    }
    const count = this.#fragments.length;
    return this.#fragments.filter((_, fragment) => {
      const turn = localSteps - Math.floor((fragment * localSteps) / count);
      return (step + 1 - begin) % localSteps === turn % localSteps;
    });
  }

  #toNext(origin: NodeId, step: number, packets: unknown): NetEncapsulation | undefined {
    const targets = this.#routes(origin, this.nodeId);
    return targets.length === 0 ? undefined : netEncapsulation(targets, [origin, step, packets]);
  }

  #combine(step: number, waysOfNodes: readonly (readonly Decoded[])[] | undefined): void {
    if (waysOfNodes === undefined) return;
    const { outerRate, outerMomentum } = this.#schedule;
    const anchor = this.#anchor!;
    const velocity = this.#velocity;
    const result = this.#weights;
    for (const [index, { tensors }] of this.#dueIn(step).entries()) {
      const ways = waysOfNodes.map((ofNode) => ofNode[index]);
      const mean = meanOfDecoded(ways, sizeOf(tensors));
      let from = 0;
      for (const { offset, size } of tensors) {
        for (let i = offset; i < offset + size; i++, from++) {
          velocity[i] = outerMomentum * velocity[i] + mean[from];
          anchor[i] -= outerRate * (outerMomentum * velocity[i] + mean[from]);
          result[i] = anchor[i];
        }
      }
    }
    this.setResult(result);
  }
}

function sizeOf(tensors: readonly Segment[]): number {
  return tensors.reduce((sum, { size }) => sum + size, 0);
}

/** The same tensors without what lies between them. */
function packed(tensors: readonly Segment[]): readonly Segment[] {
  let offset = 0;
  return tensors.map(({ size }) => {
    const segment = { offset, size };
    offset += size;
    return segment;
  });
}

/** The values of some tensors, one after the other. */
function gathered(tensors: readonly Segment[], valueAt: (i: number) => number): Float32Array {
  const values = new Float32Array(sizeOf(tensors));
  let to = 0;
  for (const { offset, size } of tensors)
    for (let i = offset; i < offset + size; i++) values[to++] = valueAt(i);
  return values;
}
