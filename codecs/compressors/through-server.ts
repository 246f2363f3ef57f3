import {
  Codec,
  OwnBlocks,
  PARAMETER_SERVER,
  netEncapsulation,
  requireId,
  requireList,
  requireStep,
  type BlockWeight,
  type CodecContext,
  type NetEncapsulation,
  type NodeId,
} from "@psgd/core";
import { meanOfDecoded, type Chain, type Decoded } from "./chain.js";
import { chainOf, type CompressionParts } from "./compressed-gradients.js";
import { Compression } from "./error-feedback.js";

/** Compressed gradients to the parameter server, the compressed mean back. */
export abstract class CompressedClient extends Codec {
  static override readonly carries: "gradients" | "weights" = "gradients";

  readonly #chain: Chain;
  readonly #compression: Compression;
  readonly #ownBlocks = new OwnBlocks(this.settings.nodeToBlocks[this.nodeId].length);
  /** The step whose mean this client waits for. */
  #awaitedStep: number | undefined;

  constructor(context: CodecContext) {
    super(context);
    const parts = this.compression();
    this.#chain = chainOf(parts);
    this.#compression = new Compression(this.#chain, Number(parts.feedback));
  }

  /** Called once, before fields of subclasses are there. */
  protected abstract compression(): CompressionParts;

  override updateBlocks(block: BlockWeight): NetEncapsulation | undefined {
    const gradient = this.#ownBlocks.add(block);
    if (gradient === undefined) return undefined;
    const { tensors } = this.layout;
    const { packet } = this.#compression.compress(gradient, tensors, this.random);
    this.#awaitedStep = block.step;
    return netEncapsulation(PARAMETER_SERVER, [this.nodeId, block.step, packet]);
  }

  override receiveBlocks(content: unknown): void {
    const [step, packet] = requireList(content, 2);
    const { positions, values } = this.#chain.decode(packet, this.layout.size, this.layout.tensors);
    if (step !== this.#awaitedStep) return;
    this.#awaitedStep = undefined;
    if (positions === undefined) {
      this.setResult(values);
      return;
    }
    const mean = new Float32Array(this.layout.size);
    for (let i = 0; i < positions.length; i++) mean[positions[i]] = values[i];
    this.setResult(mean);
  }

  override dispose(): void {
    this.#ownBlocks.clear();
  }

  override exportState(): unknown {
    return this.#compression.exportState();
  }

  override importState(state: unknown): void {
    this.#compression.importState(state, this.layout.size);
  }
}

/** Averages what all clients sent, in order of node ids, and compresses the mean in the same way. */
export abstract class CompressedServer extends Codec {
  static override readonly carries: "gradients" | "weights" = "gradients";

  readonly #chain: Chain;
  readonly #compression: Compression;
  readonly #vectors = new Map<NodeId, Decoded>();
  /** The step that packets are collected for, or the first that may come. */
  #step = 0;

  constructor(context: CodecContext) {
    super(context);
    const parts = this.compression();
    this.#chain = chainOf(parts);
    this.#compression = new Compression(this.#chain, Number(parts.feedback));
  }

  /** Called once, before fields of subclasses are there. */
  protected abstract compression(): CompressionParts;

  override receiveBlocks(content: unknown): NetEncapsulation | undefined {
    const { nodes, nodeCount } = this.settings;
    const { size, tensors } = this.layout;
    const [nodeId, step, packet] = requireList(content, 3);
    requireId(nodeId, nodes, "node id");
    requireStep(step, this.settings);
    if (step < this.#step) return undefined;
    if (step > this.#step) this.dispose();
    this.#step = step;
    this.#vectors.set(nodeId, this.#chain.decode(packet, size, tensors));
    if (this.#vectors.size < nodeCount) return undefined;
    const mean = meanOfDecoded(
      nodes.map((node) => this.#vectors.get(node)!),
      size,
    );
    this.dispose();
    this.#step = step + 1;
    const { packet: answer } = this.#compression.compress(mean, tensors, this.random);
    return netEncapsulation(nodes, [step, answer]);
  }

  override dispose(): void {
    this.#vectors.clear();
  }

  override exportState(): unknown {
    return {
      step: this.#step,
      vectors: new Map(this.#vectors),
      residual: this.#compression.exportState(),
    };
  }

  override importState(state: unknown): void {
    const saved = state as { step: number; vectors: Map<NodeId, Decoded>; residual: unknown };
    this.#step = saved.step;
    this.dispose();
    for (const [node, vector] of saved.vectors) this.#vectors.set(node, vector);
    this.#compression.importState(saved.residual, this.layout.size);
  }
}
