import {
  Codec,
  OwnBlocks,
  PARAMETER_SERVER,
  meanOf,
  netEncapsulation,
  requireId,
  requireList,
  requireVector,
  type BlockWeight,
  type NetEncapsulation,
  type NodeId,
} from "@psgd/core";

/*
 * The parameter server in its simplest forms: it answers every contribution at once, and never waits for another.
 *
 * Algorithm
 * 1. A client sends what it computed in a step to the parameter server and waits for the answer, its result.
 * 2. `GradDiffPS` adds the gradient to the sum of all gradients so far, and answers with what was added since this
 *    node's last answer: the node's weights become those of the server.
 * 3. `ParaAveragingServer` keeps the last weights of each node, and answers with the mean of those it knows, summed in
 *    order of node ids.
 *
 * Needs: asgd; with ssgd it runs, but nodes at the same step hold different models, since answers differ by what came
 * in between; any redundancy, a node then sends the mean of its own blocks; a parameter server.
 *
 * Sends: `[nodeId, vector]` up, `[PARAMETER_SERVER, vector]` down: 8d · n bytes per step over the whole cluster.
 *
 * State: clients none; `GradDiffPS` the sum and what each node has seen of it, 4d · (n + 1) bytes;
 * `ParaAveragingServer` the weights of each node, 4d · n bytes.
 *
 * Error feedback: no, nothing is lost.
 *
 * Parameters: none.
 *
 * Source: `naive_ps` of Parallel-SGD. `GradDiffPS` is Downpour SGD (Dean et al. 2012, section 4.1) with one step between
 * fetches: every gradient counts in full, so n nodes move the model n times as far in a step as their mean would.
 */

/** Answers gradients with the sum of all gradients since the node's last answer. */
export class GradDiffPS extends Codec {
  static override readonly carries = "gradients";

  #sum = new Float32Array(this.layout.size);
  readonly #seenByNode = new Map<NodeId, Float32Array>();

  override receiveBlocks(content: unknown): NetEncapsulation {
    const [nodeId, gradient] = contribution(this, content);
    const sum = this.#sum;
    // A node that was never answered has seen nothing, which is zero.
    const seen = this.#seenByNode.get(nodeId) ?? new Float32Array(sum.length);
    this.#seenByNode.set(nodeId, seen);

    const difference = gradient;
    for (let i = 0; i < sum.length; i++) {
      sum[i] += gradient[i];
      difference[i] = sum[i] - seen[i];
    }
    seen.set(sum);
    return netEncapsulation(nodeId, [PARAMETER_SERVER, difference]);
  }

  override exportState(): unknown {
    const seenByNode = [...this.#seenByNode].map(([node, seen]) => [node, seen.slice()] as const);
    return { sum: this.#sum.slice(), seenByNode: new Map(seenByNode) };
  }

  override importState(state: unknown): void {
    const saved = state as { sum: Float32Array; seenByNode: Map<NodeId, Float32Array> };
    this.#sum = saved.sum.slice();
    this.#seenByNode.clear();
    for (const [node, seen] of saved.seenByNode) this.#seenByNode.set(node, seen.slice());
  }
}

/** Answers weights with the mean of the last weights of all nodes. */
export class ParaAveragingServer extends Codec {
  static override readonly carries = "weights";

  readonly #weightsByNode = new Map<NodeId, Float32Array>();

  override receiveBlocks(content: unknown): NetEncapsulation {
    const [nodeId, weights] = contribution(this, content);
    this.#weightsByNode.set(nodeId, weights);
    const known = this.settings.nodes.flatMap((node) => this.#weightsByNode.get(node) ?? []);
    return netEncapsulation(nodeId, [PARAMETER_SERVER, meanOf(known)]);
  }

  override dispose(): void {
    this.#weightsByNode.clear();
  }

  override exportState(): unknown {
    return new Map(this.#weightsByNode);
  }

  override importState(state: unknown): void {
    this.#weightsByNode.clear();
    for (const [node, weights] of state as Map<NodeId, Float32Array>) {
      this.#weightsByNode.set(node, weights.slice());
    }
  }
}

/** Sends what it has to the parameter server, and takes what comes back: gradients or weights, as the server does. */
export class PSClient extends Codec {
  static override readonly carries = "any";
  static override readonly server = GradDiffPS;

  readonly #ownBlocks = new OwnBlocks(this.settings.nodeToBlocks[this.nodeId].length);

  override updateBlocks(block: BlockWeight): NetEncapsulation | undefined {
    const vector = this.#ownBlocks.add(block);
    return vector && netEncapsulation(PARAMETER_SERVER, [this.nodeId, vector]);
  }

  override receiveBlocks(content: unknown): void {
    const [, vector] = requireList(content, 2);
    requireVector(vector, this.layout.size, "answer of the parameter server");
    this.setResult(vector);
  }

  override dispose(): void {
    this.#ownBlocks.clear();
  }
}

/** What a client sent: who it is, and its vector. */
function contribution(server: Codec, content: unknown): [NodeId, Float32Array] {
  const [nodeId, vector] = requireList(content, 2);
  requireId(nodeId, server.settings.nodes, "node id");
  requireVector(vector, server.layout.size, `contribution of node ${nodeId}`);
  return [nodeId, vector];
}
