import {
  PsgdError,
  fromErrorRecord,
  nodeName,
  toErrorRecord,
  type ErrorRecord,
  type Clock,
  type Logger,
  type NodeId,
  type Random,
  type Transport,
} from "@psgd/core";
import type { BlockMessage } from "@psgd/sgd";
import { LinkEndpoint, type Link } from "@psgd/transport";
import { pack, unpack } from "@psgd/wire";
import { nodeAddress } from "../job.js";

/** What nodes of a job say to each other. */
export type PeerMessage =
  | { readonly type: "hello"; readonly from: NodeId }
  | { readonly type: "block"; readonly message: BlockMessage }
  /** The sender has taken its last step and only forwards from now on. */
  | { readonly type: "done" }
  /** What this node, the first, says at the end of an epoch: whether training ends here. */
  | { readonly type: "verdict"; readonly isEnough: boolean }
  /** The job cannot go on; `node` is where it broke. A worker says it for a node that cannot any more. */
  | { readonly type: "abort"; readonly node: NodeId; readonly error: ErrorRecord };

export interface MeshOptions {
  readonly jobId: string;
  readonly nodeId: NodeId;
  /** All nodes of the job, this one included. */
  readonly nodes: readonly NodeId[];
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly onBlock: (from: NodeId, message: BlockMessage) => void;
  /** Called once: a peer is gone, or says that the job cannot go on. */
  readonly onFailure: (error: PsgdError) => void;
}

/**
 * A worker daemon notices at once when a node of its own is gone and tells the others; this is for whole machines
 * that vanish, and long enough for a training step that keeps a node's event loop busy.
 */
const PEER_DEAD_AFTER_MS = 30_000;

/** More than this waiting to leave makes a node pause: a fast sender must not outgrow its memory. */
const MAX_QUEUED_BYTES = 16 * 1024 * 1024;

/** The links of one node to all others of its job. */
export class Mesh {
  readonly #options: MeshOptions;
  readonly #links = new Map<NodeId, Link>();
  readonly #greeted = new Set<NodeId>();
  readonly #done = new Set<NodeId>();
  readonly #verdicts: boolean[] = [];
  readonly #nodeOfAddress: ReadonlyMap<string, NodeId>;
  #endpoint: LinkEndpoint | undefined;
  #hasFailed = false;
  #onChange: () => void = () => {};

  private constructor(options: MeshOptions) {
    this.#options = options;
    this.#nodeOfAddress = new Map(
      options.nodes.map((node) => [nodeAddress(options.jobId, node), node]),
    );
  }

  /** Listens; peers may connect from now on. */
  static async open(options: MeshOptions): Promise<Mesh> {
    const mesh = new Mesh(options);
    mesh.#endpoint = await LinkEndpoint.open({
      transport: options.transport,
      clock: options.clock,
      random: options.random,
      address: nodeAddress(options.jobId, options.nodeId),
      deadAfterMs: PEER_DEAD_AFTER_MS,
      log: options.log,
      onLink: (link) => mesh.#adopt(link),
    });
    return mesh;
  }

  /** Greets every peer and waits until each has greeted back. */
  async connect(): Promise<void> {
    const { nodes, nodeId, jobId } = this.#options;
    for (const peer of nodes) {
      if (peer === nodeId) continue;
      const link =
        this.#links.get(peer) ?? this.#adopt(this.#endpoint!.connect(nodeAddress(jobId, peer)));
      link?.send({ type: "hello", from: nodeId } satisfies PeerMessage);
    }
    await this.#until(() => this.#peers().every((peer) => this.#greeted.has(peer)));
  }

  /** Sends a block; it is packed before this returns. */
  post(target: NodeId, message: BlockMessage): void {
    const packet: PeerMessage = { type: "block", message };
    if (target === this.#options.nodeId) {
      // A message to oneself is packed too, so that it aliases nothing; it never leaves the machine.
      const bytes = pack(packet);
      const copy = unpack(bytes) as { message: BlockMessage };
      this.#options.onBlock(target, copy.message);
      return;
    }
    this.#links.get(target)?.send(packet);
  }

  /** Resolves when not too much waits to leave. */
  async drained(): Promise<void> {
    for (const link of this.#links.values()) {
      if (link.queuedBytes > MAX_QUEUED_BYTES) await link.drained(MAX_QUEUED_BYTES);
    }
  }

  /**
   * Whether training ends after the epoch at hand, as node 0 says: what each node finds for itself may differ by a
   * rounding, and one that goes on alone would wait for ever.
   */
  async isEnough(own: boolean): Promise<boolean> {
    if (this.#options.nodeId !== 0) {
      await this.#until(() => this.#verdicts.length > 0);
      return this.#verdicts.shift()!;
    }
    for (const [peer, link] of this.#links) {
      if (peer >= 0) link.send({ type: "verdict", isEnough: own } satisfies PeerMessage);
    }
    return own;
  }

  /** Says that this node has taken its last step, and waits until `nodes` have said so. */
  async finish(nodes: readonly NodeId[]): Promise<void> {
    for (const link of this.#links.values()) link.send({ type: "done" } satisfies PeerMessage);
    await this.allDone(nodes);
  }

  /** Waits until all of `nodes` have taken their last step. */
  async allDone(nodes: readonly NodeId[]): Promise<void> {
    await this.#until(() =>
      nodes.every((node) => node === this.#options.nodeId || this.#done.has(node)),
    );
  }

  /** Tells the peers that the job cannot go on, and why. */
  abort(error: unknown): void {
    this.#hasFailed = true;
    const record = toErrorRecord(error);
    for (const link of this.#links.values()) {
      link.send({ type: "abort", node: this.#options.nodeId, error: record } satisfies PeerMessage);
    }
  }

  get bytesSent(): number {
    return this.#sum((link) => link.bytesSent);
  }

  get bytesReceived(): number {
    return this.#sum((link) => link.bytesReceived);
  }

  get overheadBytes(): number {
    return this.#sum((link) => link.overheadBytes);
  }

  /** Lets everything sent arrive, says goodbye, and closes. */
  async close(): Promise<void> {
    this.#hasFailed = true;
    await this.#endpoint?.close();
  }

  #adopt(link: Link): Link | undefined {
    const peer = this.#nodeOfAddress.get(link.peerAddress);
    link.onMessage((value) => this.#receive(peer, value as PeerMessage));
    if (peer === undefined) return undefined;
    this.#links.set(peer, link);
    link.onLost((cause) => {
      if (this.#done.has(peer)) return;
      this.#fail(
        new PsgdError(
          "NODE_LOST",
          `${nodeName(peer)}: expected a sign of life, got none for ${PEER_DEAD_AFTER_MS} ms; seen by ${nodeName(this.#options.nodeId)}`,
          {
            details: { node: peer },
            cause,
          },
        ),
      );
    });
    return link;
  }

  #receive(peer: NodeId | undefined, message: PeerMessage): void {
    switch (message.type) {
      case "hello":
        if (peer !== undefined) this.#greeted.add(peer);
        break;
      case "block":
        if (peer !== undefined) this.#options.onBlock(peer, message.message);
        break;
      case "done":
        if (peer !== undefined) this.#done.add(peer);
        break;
      case "verdict":
        this.#verdicts.push(message.isEnough);
        break;
      case "abort":
        this.#fail(relayed(message.error, message.node));
    }
    this.#onChange();
  }

  #fail(error: PsgdError): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    this.#options.onFailure(error);
  }

  #peers(): readonly NodeId[] {
    return this.#options.nodes.filter((node) => node !== this.#options.nodeId);
  }

  #until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#onChange = () => {
        if (condition()) resolve();
      };
      this.#onChange();
    });
  }

  #sum(of: (link: Link) => number): number {
    let total = 0;
    for (const link of this.#links.values()) total += of(link);
    return total;
  }
}

/** An error that another node met first; its details say which. */
function relayed(record: ErrorRecord, node: NodeId): PsgdError {
  const details = { ...record.details, node: record.details["node"] ?? node, isRelayed: true };
  return fromErrorRecord({ ...record, details });
}
