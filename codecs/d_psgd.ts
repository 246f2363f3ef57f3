import {
  Codec,
  OwnBlocks,
  PsgdError,
  meanOf,
  netEncapsulation,
  requireId,
  requireList,
  requireStep,
  requireVector,
  type BlockWeight,
  type NetEncapsulation,
  type NodeId,
} from "@psgd/core";
import {
  mixingMatrix,
  predictionOf,
  topologyNamed,
  type MixingMatrix,
  type Topology,
} from "./topologies/index.js";

/*
 * Decentralised gradient descent: in each step a node mixes its model with those of its neighbours only.
 *
 * Algorithm
 * 1. A node sends the weights wᵢ with which it begins a step to its neighbours, and computes its own step sᵢ from them.
 * 2. With those of its neighbours: wᵢ ← Σⱼ Wᵢⱼ wⱼ + sᵢ, summed in order of node ids. W is symmetric and its rows and columns
 *    have the sum 1: 1 / (1 + the larger number of neighbours), the rest with the node itself.
 * 3. In the job's last step all nodes send what they have to all others, and take the mean: the models, which differ until
 *    then, become one.
 *
 * Needs: ssgd or asgd (a step waits for the neighbours in both); any redundancy, a node then takes the mean of its own
 * blocks for its model; no server.
 *
 * Sends: `[node, step, weights]`: 4d · (number of edges, both ways) bytes per step over the whole cluster: 8d · n on a ring.
 *
 * State: what neighbours have sent ahead.
 *
 * Error feedback: no, nothing is lost.
 *
 * Parameters
 * - `topology` ("ring", "mesh", "star", "hierarchical:N" or a graph as JSON, default "ring"): who are neighbours;
 *   ways must go both ways. More neighbours: more bytes, models that differ less.
 *
 * Source: Lian et al. 2017, arXiv 1705.09056, Algorithm 1.
 */

/** Mixes models with its neighbours. */
export class DPsgd extends Codec {
  static override readonly carries = "weights";

  readonly #topology = topologyNamed(
    this.settings.param("topology", "ring"),
    this.settings.nodeCount,
  );
  readonly #shares = sharesOf(this.#topology)[this.nodeId];
  readonly #partners = this.settings.nodes.filter(
    (node) => this.#shares[node] > 0 && node !== this.nodeId,
  );
  readonly #ownBlocks = new OwnBlocks(this.settings.nodeToBlocks[this.nodeId].length);
  /** By step and sender. */
  readonly #received = new Map<number, Map<NodeId, Float32Array>>();
  /** The weights this step began with, and those that the node computed; only within a step. */
  #own: { readonly before: Float32Array; readonly after: Float32Array } | undefined;
  #step = 0;

  constructor(...context: ConstructorParameters<typeof Codec>) {
    super(...context);
    if (this.nodeId === 0) this.log.info(predictionOf(this.#topology, 4 * this.layout.size));
  }

  override updateBlocks(block: BlockWeight): NetEncapsulation | undefined {
    const after = this.#ownBlocks.add(block);
    if (after === undefined) return undefined;
    const { step } = block;
    for (const earlier of this.#received.keys()) if (earlier < step) this.#received.delete(earlier);
    this.#step = step;
    const before = this.weights.slice();
    this.#own = { before, after };
    this.#combine();
    const targets = this.#partnersIn(step);
    // Of the last step the result counts, and no step comes after it.
    return netEncapsulation(targets, [this.nodeId, step, this.#isLast(step) ? after : before]);
  }

  override receiveBlocks(content: unknown): void {
    const [node, step, weights] = requireList(content, 3);
    requireStep(step, this.settings);
    requireId(node, this.#partnersIn(step), "neighbour");
    requireVector(weights, this.layout.size, `weights of node ${node}`);
    if (step < this.#step) return;
    const ofStep = this.#received.get(step) ?? new Map<NodeId, Float32Array>();
    this.#received.set(step, ofStep.set(node, weights));
    this.#combine();
  }

  override dispose(): void {
    this.#ownBlocks.clear();
    this.#received.clear();
  }

  #partnersIn(step: number): readonly NodeId[] {
    return this.#isLast(step)
      ? this.settings.nodes.filter((node) => node !== this.nodeId)
      : this.#partners;
  }

  #isLast(step: number): boolean {
    return step === this.settings.stepCount - 1;
  }

  #combine(): void {
    const own = this.#own;
    const received = this.#received.get(this.#step) ?? new Map<NodeId, Float32Array>();
    const partners = this.#partnersIn(this.#step);
    if (own === undefined || partners.some((node) => !received.has(node))) return;
    this.#own = undefined;
    this.#received.delete(this.#step);
    const members = [...partners, this.nodeId].sort((a, b) => a - b);
    if (this.#isLast(this.#step)) {
      this.setResult(meanOf(members.map((node) => received.get(node) ?? own.after)));
      return;
    }
    const mixed = meanOf(
      members.map((node) => received.get(node) ?? own.before),
      members.map((node) => this.#shares[node]),
    );
    for (let i = 0; i < mixed.length; i++) mixed[i] += own.after[i] - own.before[i];
    this.setResult(mixed);
  }
}

function sharesOf(topology: Topology): MixingMatrix {
  const matrix = mixingMatrix(topology, 0);
  const isMutual = matrix.every((row, i) =>
    row.every((share, j) => share > 0 === matrix[j][i] > 0),
  );
  if (topology.period === 1 && isMutual) return matrix;
  throw new PsgdError(
    "SETTINGS_INVALID",
    `parameter \`topology\`: expected a graph that stays the same with ways in both directions, got ${topology.name}; codec DPsgd; set it with \`--param topology=ring\`, or use sgp.Sgp`,
  );
}
