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
import { Chain, meanOfDecoded, type Decoded } from "./chain.js";
import type { Quantizer, Sparsifier } from "./compressor.js";
import { Compression, type Compressed } from "./error-feedback.js";
import { float32 } from "./float32.js";

/** What a vector goes through before it is sent. */
export interface CompressionParts {
  /** Whether what is left out is added to the next vector, or which part of it. */
  readonly feedback: boolean | number;
  readonly sparsifier?: Sparsifier | undefined;
  /** @defaultValue float32() */
  readonly quantizer?: Quantizer | undefined;
}

export function chainOf({ sparsifier, quantizer }: CompressionParts): Chain {
  return new Chain(sparsifier, quantizer ?? float32());
}

/**
 * Compressed gradients, peer to peer: every node's packet comes to all nodes, and each takes the mean of what all
 * packets are decoded to, its own included, so that all have the same bits.
 */
export abstract class CompressedGradients extends Codec {
  static override readonly carries: "gradients" | "weights" = "gradients";

  readonly #chain: Chain;
  readonly #compression: Compression;
  readonly #routes: Routes;
  readonly #gather = new AllGather<Decoded>(this.settings.nodes);
  readonly #ownBlocks = new OwnBlocks(this.settings.nodeToBlocks[this.nodeId].length);

  constructor(context: CodecContext) {
    super(context);
    const parts = this.compression();
    this.#chain = chainOf(parts);
    this.#compression = new Compression(this.#chain, Number(parts.feedback));
    this.#routes = this.routes();
  }

  /** Called once, before fields of subclasses are there. */
  protected abstract compression(): CompressionParts;

  /** The way of the packets, by default over the graph that the parameter `topology` names; called once. */
  protected routes(): Routes {
    return routesOver(
      topologyNamed(this.settings.param("topology", "mesh"), this.settings.nodeCount),
    );
  }

  /** What decodes the packets of a step. */
  protected chainIn(_step: number): Chain {
    return this.#chain;
  }

  /**
   * Makes the packet of a step.
   * @param gradient - this node's; taken over
   * @returns what to send, and what the others will see
   */
  protected compress(gradient: Float32Array, _step: number): Compressed {
    return this.#compression.compress(gradient, this.layout.tensors, this.random);
  }

  /** The result of a step from the mean of all packets; `mean` may be changed and returned. */
  protected resultOf(mean: Float32Array): Float32Array {
    return mean;
  }

  override updateBlocks(block: BlockWeight): NetEncapsulation | undefined {
    const gradient = this.#ownBlocks.add(block);
    if (gradient === undefined) return undefined;
    const { step } = block;
    const { packet, decoded } = this.compress(gradient, step);
    this.#combine(this.#gather.begin(step, this.nodeId, decoded));
    return this.#toNext(this.nodeId, step, packet);
  }

  override receiveBlocks(content: unknown): NetEncapsulation | undefined {
    const [origin, step, packet] = requireList(content, 3);
    requireId(origin, this.settings.nodes, "node id");
    requireStep(step, this.settings);
    if (!this.#gather.isNew(step, origin)) return undefined;
    const { size, tensors } = this.layout;
    const decoded = this.chainIn(step).decode(packet, size, tensors);
    this.#combine(this.#gather.add(step, origin, decoded));
    return this.#toNext(origin, step, packet);
  }

  override dispose(): void {
    this.#ownBlocks.clear();
    this.#gather.clear();
  }

  override exportState(): unknown {
    return this.#compression.exportState();
  }

  override importState(state: unknown): void {
    this.#compression.importState(state, this.layout.size);
  }

  #toNext(origin: NodeId, step: number, packet: unknown): NetEncapsulation | undefined {
    const targets = this.#routes(origin, this.nodeId);
    return targets.length === 0 ? undefined : netEncapsulation(targets, [origin, step, packet]);
  }

  #combine(vectors: readonly Decoded[] | undefined): void {
    if (vectors !== undefined)
      this.setResult(this.resultOf(meanOfDecoded(vectors, this.layout.size)));
  }
}
