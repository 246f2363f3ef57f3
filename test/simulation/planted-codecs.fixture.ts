/*
 * Codecs with one fault each, and the sound one that they are made from. Each fault is one that people make; none of
 * them shows when all messages come at once and in order.
 */
import {
  Codec,
  PARAMETER_SERVER,
  meanOf,
  netEncapsulation,
  type BlockWeight,
  type CodecClass,
  type CodecReturn,
  type NetEncapsulation,
  type NodeId,
} from "@psgd/core";

type Message = readonly [block: number, content: Float32Array];

/** The mean of all blocks, peer to peer: sound in ssgd. */
export class Mean extends Codec {
  static override readonly carries: CodecClass["carries"] = "gradients";
  protected readonly blocks = new Map<number, Float32Array>();

  override updateBlocks({ blockId, content }: BlockWeight): CodecReturn {
    this.keep([blockId, content]);
    return netEncapsulation(this.settings.nodesWithout(blockId), [blockId, content]);
  }

  override receiveBlocks(content: unknown): CodecReturn {
    this.keep(content as Message);
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

/** Adds up as blocks come in. */
export class SumsInArrivalOrder extends Mean {
  protected override combined(): Float32Array {
    const sum = new Float32Array(this.layout.size);
    for (const block of this.blocks.values())
      for (const [i, value] of block.entries()) sum[i]! += value;
    return sum.map((value) => value / this.blocks.size);
  }
}

/** Compares with the number of nodes, as `MyComCtrl` of the original did (PT-8). */
export class CountsNodes extends Mean {
  #count = 0;

  protected override keep([blockId, content]: Message): void {
    this.blocks.set(blockId, content);
    if (++this.#count < this.settings.nodeCount) return;
    this.#count = 0;
    this.setResult(this.combined());
    this.blocks.clear();
  }
}

/** Uses the weights as scratch memory. */
export class ChangesTheWeights extends Mean {
  protected override combined(): Float32Array {
    const mean = super.combined();
    (this.weights as Float32Array)[0]! += mean[0]!;
    return mean;
  }
}

/** Starts again when its own block comes, whatever has come before. */
export class ForgetsWhatCameFirst extends Mean {
  override updateBlocks(block: BlockWeight): CodecReturn {
    this.blocks.clear();
    return super.updateBlocks(block);
  }
}

/** Takes its neighbour's block first and ignores what overtakes it. */
export class WantsItsNeighbourFirst extends Mean {
  protected override keep(message: Message): void {
    const isNext =
      message[0] === this.nodeId || this.blocks.has((message[0] + 1) % this.settings.blockCount);
    if (isNext || this.blocks.size === 0) super.keep(message);
  }
}

/** Scales by how many blocks came before that of node 0: by 0 / 0 where that is the first. */
export class DividesByWhatCameBefore extends Mean {
  protected override combined(): Float32Array {
    const mean = super.combined();
    const before = [...this.blocks.keys()].indexOf(0) - 1;
    return this.nodeId === 0 ? mean : mean.map((value) => (value * before) / before);
  }
}

/** Rounds with randomness of its own instead of `this.random`. */
export class DrawsItsOwnRandom extends Mean {
  protected override combined(): Float32Array {
    return super.combined().map((value) => value * (1 + 1e-3 * (Math.random() - 0.5)));
  }
}

/** Keeps blocks where all its instances see them: on one machine they are all nodes, on several each its own. */
export class SharesAStaticField extends Mean {
  static readonly all = new Map<number, Float32Array>();

  protected override keep(message: Message): void {
    SharesAStaticField.all.set(...(message as [number, Float32Array]));
    super.keep(message);
  }

  protected override combined(): Float32Array {
    return meanOf(this.settings.blocks.map((id) => SharesAStaticField.all.get(id)!));
  }
}

/** Sends its block again at a time-out, and others count it again. */
export class SumsWhatIsSentAgain extends Mean {
  #own: NetEncapsulation | undefined;
  #sum = new Float32Array(0);
  #count = 0;

  override updateBlocks(block: BlockWeight): CodecReturn {
    this.#own = netEncapsulation(this.settings.nodesWithout(block.blockId), [
      block.blockId,
      block.content.slice(),
    ]);
    void super.updateBlocks(block);
    return this.#own;
  }

  override onSyncTimeout(): CodecReturn {
    return this.#own;
  }

  protected override keep([, content]: Message): void {
    if (this.#count === 0) this.#sum = new Float32Array(content.length);
    for (const [i, value] of content.entries()) this.#sum[i]! += value;
    if (++this.#count < this.settings.blockCount) return;
    this.#count = 0;
    this.setResult(this.#sum.map((value) => value / this.settings.blockCount));
  }
}

/** Averages the weights of all nodes, one round after another: sound. */
export class MeanServer extends Codec {
  static override readonly carries = "weights";
  protected readonly byNode = new Map<NodeId, Float32Array>();

  override receiveBlocks(content: unknown): CodecReturn {
    const [node, weights] = content as Message;
    this.byNode.set(node, weights);
    if (this.byNode.size < this.settings.nodeCount) return undefined;
    const mean = meanOf(this.settings.nodes.map((each) => this.byNode.get(each)!));
    this.byNode.clear();
    return this.answer(mean, node);
  }

  protected answer(mean: Float32Array, _last: NodeId): CodecReturn {
    return netEncapsulation(this.settings.nodes, mean);
  }
}

export class MeanClient extends Codec {
  static override readonly carries = "weights";
  static override readonly server: CodecClass = MeanServer;

  override updateBlocks({ content }: BlockWeight): CodecReturn {
    return netEncapsulation(PARAMETER_SERVER, [this.nodeId, content]);
  }

  override receiveBlocks(content: unknown): CodecReturn {
    this.setResult(content as Float32Array);
  }
}

export class RepliesTwice extends MeanServer {
  protected override answer(mean: Float32Array): CodecReturn {
    return [
      netEncapsulation(this.settings.nodes, mean),
      netEncapsulation(this.settings.nodes, mean),
    ];
  }
}

/** Answers everybody but who came last, whom it takes for answered. */
export class ForgetsToAnswer extends MeanServer {
  #roundCount = 0;

  protected override answer(mean: Float32Array, last: NodeId): CodecReturn {
    const isForgetful = ++this.#roundCount > 1 && last === 0;
    return netEncapsulation(
      this.settings.nodes.filter((node) => !isForgetful || node !== last),
      mean,
    );
  }
}

/** Counts contributions, whoever they are from; a client that is late for a round is counted in the next one. */
export class CountsContributions extends MeanServer {
  #sum: Float32Array[] = [];

  override receiveBlocks(content: unknown): CodecReturn {
    this.#sum.push((content as Message)[1]);
    // "Two are enough to go on."
    const isEnough = this.#sum.length >= Math.min(2, this.settings.nodeCount);
    if (!isEnough) return undefined;
    const mean = meanOf(this.#sum);
    this.#sum = [];
    return netEncapsulation(this.settings.nodes, mean);
  }
}

/** Waits first in step 2 + 2k on node k, as with uneven data: rounds meet at different steps. */
export class UnevenClient extends MeanClient {
  override updateBlocks(block: BlockWeight): CodecReturn {
    const isMerging = block.step === Math.min(this.settings.stepCount - 1, this.nodeId);
    if (isMerging) return super.updateBlocks(block);
    this.setResult(block.content);
  }
}

/** `Mean`, with calls that take until later. */
export class AsyncMean extends Mean {
  override async receiveBlocks(content: unknown): Promise<void> {
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    this.keep(content as Message);
  }
}

/** `Mean`, with lists of envelopes. */
export class ListedMean extends Mean {
  override updateBlocks(block: BlockWeight): CodecReturn {
    return [super.updateBlocks(block) as NetEncapsulation];
  }
}
