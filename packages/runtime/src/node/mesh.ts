import {
  PARAMETER_SERVER,
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
import type { Ledger } from "./ledger.js";

/** What nodes of a job say to each other. */
export type PeerMessage =
  | { readonly type: "hello"; readonly from: NodeId }
  | { readonly type: "block"; readonly message: BlockMessage }
  /** The sender has taken its last step and only forwards from now on. */
  | { readonly type: "done" }
  /** Whether training ends after this step, the last of an epoch. A parameter server passes it on. */
  | { readonly type: "verdict"; readonly step: number; readonly isEnough: boolean }
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
  /** Frames of one link that may be on their way unacknowledged; by default those of `LinkEndpoint`. */
  readonly windowFrames?: number | undefined;
  /** Counts all messages, if given. */
  readonly ledger?: Ledger;
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

/**
 * The links of one node to the others of its job. With a parameter server each worker begins with one, to the server,
 * and opens others when it first posts to a peer: a hundred workers that talk to their server only must not keep ten
 * thousand links alive. What all must hear goes through the server then. Without one there are links between all.
 */
export class Mesh {
  readonly #options: MeshOptions;
  readonly #links = new Map<NodeId, Link>();
  readonly #greeted = new Set<NodeId>();
  readonly #done = new Set<NodeId>();
  readonly #verdicts = new Map<number, boolean>();
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
      windowFrames: options.windowFrames,
      log: options.log,
      onLink: (link) => mesh.#adopt(link),
    });
    return mesh;
  }

  /** Greets every neighbour and waits until each has greeted back. */
  async connect(): Promise<void> {
    const { nodeId } = this.#options;
    for (const peer of this.#neighbours()) this.#send(peer, { type: "hello", from: nodeId });
    await this.#until(() => this.#neighbours().every((peer) => this.#greeted.has(peer)));
  }

  /** Sends a block; it is packed before this returns. */
  post(target: NodeId, message: BlockMessage): void {
    const packet = blockPacket(message);
    if (target === this.#options.nodeId) {
      // A message to oneself is packed too, so that it aliases nothing; it never leaves the machine.
      const bytes = pack(packet);
      const copy = unpack(bytes) as typeof packet;
      this.#options.onBlock(target, copy.message);
      return;
    }
    this.#send(target, packet);
  }

  /** Resolves when not too much waits to leave. */
  async drained(): Promise<void> {
    for (const link of this.#links.values()) {
      if (link.queuedBytes > MAX_QUEUED_BYTES) await link.drained(MAX_QUEUED_BYTES);
    }
  }

  /**
   * Whether training ends after this step, as one node says: what each finds for itself may differ by a rounding, and
   * one that goes on alone would wait for ever.
   * @param own - on the node that says it, what it says; `undefined` on the others, which wait for it
   */
  async isEnough(step: number, own: boolean | undefined): Promise<boolean> {
    if (own !== undefined) {
      this.#tell({ type: "verdict", step, isEnough: own });
      return own;
    }
    await this.#until(() => this.#verdicts.has(step));
    const isEnough = this.#verdicts.get(step)!;
    this.#verdicts.delete(step);
    return isEnough;
  }

  /** On a worker: says that it has taken its last step, and waits until all have. On a server: waits, then says so. */
  async finish(): Promise<void> {
    if (this.#isServer) await this.#neighboursDone();
    for (const peer of this.#links.keys()) this.#send(peer, { type: "done" });
    await this.#neighboursDone();
  }

  /** Tells the peers that the job cannot go on, and why. */
  abort(error: unknown): void {
    this.#hasFailed = true;
    const record = toErrorRecord(error);
    for (const peer of this.#links.keys())
      this.#send(peer, { type: "abort", node: this.#options.nodeId, error: record });
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

  /** By peer: bytes sent beyond the messages. */
  get overheadByPeer(): ReadonlyMap<NodeId, number> {
    return new Map([...this.#links].map(([peer, link]) => [peer, link.overheadBytes]));
  }

  /** Lets everything sent arrive, says goodbye, and closes. */
  async close(): Promise<void> {
    this.#hasFailed = true;
    await this.#endpoint?.close();
  }

  #adopt(link: Link): Link | undefined {
    const peer = this.#nodeOfAddress.get(link.peerAddress);
    link.onMessage((value, payloadBytes) => {
      if (peer !== undefined)
        this.#options.ledger?.count("received", peer, codecIndexOf(value), payloadBytes);
      this.#receive(peer, value as PeerMessage);
    });
    if (peer === undefined) return undefined;
    this.#links.set(peer, link);
    link.onLost((cause) => {
      if (this.#done.has(peer)) return;
      this.#fail(
        new PsgdError(
          "NODE_LOST",
          `${nodeName(peer)}: expected a sign of life, got none for ${PEER_DEAD_AFTER_MS} ms; seen by ${nodeName(this.#options.nodeId)}; ` +
            "check that its machine and the way to it are up, and submit the job again",
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
        if (this.#isServer) this.#tell(message, peer);
        else this.#verdicts.set(message.step, message.isEnough);
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

  get #isServer(): boolean {
    return this.#options.nodeId === PARAMETER_SERVER;
  }

  /** Those it has links to from the start; whoever is not among them hears of everything through them. */
  #neighbours(): readonly NodeId[] {
    const { nodes, nodeId } = this.#options;
    if (!this.#isServer && nodes.includes(PARAMETER_SERVER)) return [PARAMETER_SERVER];
    return nodes.filter((node) => node !== nodeId);
  }

  #linkTo(peer: NodeId): Link | undefined {
    const { jobId } = this.#options;
    return this.#links.get(peer) ?? this.#adopt(this.#endpoint!.connect(nodeAddress(jobId, peer)));
  }

  #tell(message: PeerMessage, except?: NodeId): void {
    for (const peer of this.#neighbours()) if (peer !== except) this.#send(peer, message);
  }

  #send(peer: NodeId, message: PeerMessage): void {
    const link = this.#linkTo(peer);
    if (link === undefined) return;
    const before = link.bytesSent;
    link.send(message);
    const bytes = link.bytesSent - before;
    // A closed link sends nothing.
    if (bytes > 0) this.#options.ledger?.count("sent", peer, codecIndexOf(message), bytes);
  }

  async #neighboursDone(): Promise<void> {
    await this.#until(() => this.#neighbours().every((node) => this.#done.has(node)));
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

/** A block as it is packed for a peer. */
export function blockPacket(message: BlockMessage): PeerMessage & { readonly type: "block" } {
  return { type: "block", message };
}

/** Of a block, the place of its codec; a peer may send anything, `null` included: it is judged where it is taken in. */
function codecIndexOf(value: unknown): unknown {
  const { message } = Object(value) as { readonly message?: unknown };
  return (Object(message) as { readonly variableId?: unknown }).variableId;
}

/** An error that another node met first; its details say which. */
function relayed(record: ErrorRecord, node: NodeId): PsgdError {
  const details = { ...record.details, node: record.details["node"] ?? node, isRelayed: true };
  return fromErrorRecord({ ...record, details });
}
