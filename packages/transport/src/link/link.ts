import {
  invariant,
  PsgdError,
  toErrorRecord,
  type Clock,
  type Listener,
  type Logger,
  type Random,
  type Transport,
} from "@psgd/core";
import { unpack } from "@psgd/wire";
import { frameFor, readFrame, seal, type Frame, type Incarnation } from "./link-frame.js";
import { LinkProtocol } from "./link-protocol.js";

/** How long silence lasts before a peer is taken for dead, unless the endpoint says otherwise. */
const DEAD_AFTER_MS = 4_000;

/** How long a link that closes waits for its last words to be heard. */
const CLOSE_TIMEOUT_MS = 2_000;

export interface LinkEndpointOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  /** Where peers reach this endpoint; no other endpoint may listen there. */
  readonly address: string;
  readonly log: Logger;
  /** Called for each link that a peer opens. */
  readonly onLink: (link: Link) => void;
  /** Silence, in milliseconds of being connected, after which a peer is lost. */
  readonly deadAfterMs?: number;
}

/**
 * The reliable links of one address, to any number of peers, over an unreliable transport: each message arrives exactly
 * once and in order, or the link is lost.
 *
 * Runs on one event loop. Frames come in from the transport's callback, time from one timer per link; both drive the
 * link's protocol, which calls back into the link while it runs and never re-enters itself: what a callback sends is
 * only queued and transmitted.
 */
export class LinkEndpoint {
  readonly #options: LinkEndpointOptions;
  readonly #incarnation: Incarnation;
  readonly #links = new Map<string, Link>();
  #listener: Listener | undefined;
  #stopStatus: () => void = () => {};
  /** Frames that were damaged, of another version or not ours. */
  refusedFrameCount = 0;

  private constructor(options: LinkEndpointOptions) {
    this.#options = options;
    this.#incarnation =
      (BigInt(options.random.uint32()) << 32n) | BigInt((options.random.uint32() | 1) >>> 0);
  }

  /** Listens; peers may connect when this resolves. */
  static async open(options: LinkEndpointOptions): Promise<LinkEndpoint> {
    const endpoint = new LinkEndpoint(options);
    endpoint.#listener = await options.transport.listen(options.address, (bytes) =>
      endpoint.#onBytes(bytes),
    );
    endpoint.#stopStatus = options.transport.onStatus((status) => {
      for (const link of [...endpoint.#links.values()]) link.onStatus(status);
    });
    return endpoint;
  }

  /** The link to a peer: the one that is open, else a new one. */
  connect(peerAddress: string): Link {
    return this.#links.get(peerAddress) ?? this.#create(peerAddress);
  }

  /** Closes every link, letting what was sent arrive, and stops listening. */
  async close(): Promise<void> {
    await Promise.all([...this.#links.values()].map((link) => link.close()));
    this.#stopStatus();
    this.#listener?.close();
  }

  #create(peerAddress: string): Link {
    const { address, deadAfterMs = DEAD_AFTER_MS } = this.#options;
    const identity = { address, peerAddress, incarnation: this.#incarnation, deadAfterMs };
    const link = new Link(identity, this.#options, () => {
      if (this.#links.get(peerAddress) === link) this.#links.delete(peerAddress);
    });
    this.#links.set(peerAddress, link);
    return link;
  }

  #onBytes(bytes: Uint8Array): void {
    let frame: Frame;
    try {
      frame = readFrame(bytes);
    } catch (error) {
      // A damaged frame is sent again by its sender; what is not ours is nobody's loss.
      this.refusedFrameCount++;
      if (this.refusedFrameCount === 1)
        this.#options.log.warn(
          `A frame to ${this.#options.address} was refused: ${toErrorRecord(error).message}`,
        );
      return;
    }
    let link = this.#links.get(frame.from);
    const isOther =
      link !== undefined &&
      link.peerIncarnation !== 0n &&
      link.peerIncarnation !== frame.incarnation;
    if (link !== undefined && isOther) {
      // An old frame of a session that has ended answers to nobody; the first of a new session ends the old link.
      if (frame.type !== "data" || frame.sequence !== 0 || frame.peerIncarnation !== 0n) return;
      link.lose(
        new PsgdError(
          "NODE_LOST",
          `${frame.from}: expected the same session, got a new one; it was restarted`,
        ),
      );
      link = undefined;
    }
    if (frame.peerIncarnation !== 0n && frame.peerIncarnation !== this.#incarnation) {
      if (frame.type !== "reset") this.#reset(frame);
      return;
    }
    if (link === undefined) {
      // A peer that knows us speaks of a link that is closed here; only one that does not may open a new one.
      if (frame.type === "reset" || frame.type === "bye" || frame.peerIncarnation !== 0n) {
        if (frame.type !== "reset") this.#reset(frame);
        return;
      }
      link = this.#create(frame.from);
      this.#options.onLink(link);
    }
    link.onFrame(frame);
  }

  #reset(frame: Frame): void {
    const { transport, address } = this.#options;
    if (transport.status !== "connected") return;
    const header = {
      type: "reset",
      from: address,
      // As the peer knows us, so that it takes this as an answer.
      incarnation: frame.peerIncarnation === 0n ? this.#incarnation : frame.peerIncarnation,
      peerIncarnation: frame.incarnation,
      sequence: 0,
      acknowledged: 0,
      messageBytes: 0,
      offset: 0,
    } as const;
    transport.send(frame.from, seal(frameFor(header, 0).frame));
  }
}

/** One reliable line to one peer. */
export class Link {
  readonly peerAddress: string;
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #protocol: LinkProtocol;
  readonly #onOver: () => void;
  readonly #undelivered: Uint8Array[] = [];
  readonly #waiters = new Set<() => void>();
  #onMessage: ((value: unknown, payloadBytes: number) => void) | undefined;
  #onLost: ((error: PsgdError) => void) | undefined;
  #onClosed: (() => void) | undefined;
  #lostError: PsgdError | undefined;
  #cancelTimer: () => void = () => {};
  #timerAt = Infinity;

  constructor(
    identity: {
      address: string;
      peerAddress: string;
      incarnation: Incarnation;
      deadAfterMs: number;
    },
    world: { transport: Transport; clock: Clock; log: Logger },
    onOver: () => void,
  ) {
    this.peerAddress = identity.peerAddress;
    this.#transport = world.transport;
    this.#clock = world.clock;
    this.#log = world.log;
    this.#onOver = onOver;
    this.#protocol = new LinkProtocol(
      identity,
      {
        transmit: (frame) => this.#transmit(frame),
        deliver: (message) => this.#deliver(message),
        closed: () => this.#over(undefined),
        lost: (error) => this.#over(error),
        progressed: () => this.#wakeWaiters(),
      },
      world.clock.now(),
      world.transport.status,
    );
    this.#schedule();
  }

  get peerIncarnation(): Incarnation {
    return this.#protocol.peerIncarnation;
  }

  /** Whether nothing can be sent any more. */
  get isClosed(): boolean {
    return this.#protocol.isOver;
  }

  /** Packed bytes of all messages sent, each counted once. */
  get bytesSent(): number {
    return this.#protocol.bytesSent;
  }

  get bytesReceived(): number {
    return this.#protocol.bytesReceived;
  }

  /** Bytes sent beyond the messages: headers, acknowledgements, repetitions. */
  get overheadBytes(): number {
    return this.#protocol.overheadBytes;
  }

  /** Bytes of messages that wait to be sent or acknowledged. */
  get queuedBytes(): number {
    return this.#protocol.queuedBytes;
  }

  /**
   * Sends a message; it is copied before this returns. On a link that is over it goes nowhere: `onLost` or `onClosed`
   * has said so.
   * @throws {PsgdError} PAYLOAD_UNPACKABLE, PAYLOAD_TOO_LARGE
   */
  send(value: unknown): void {
    if (this.isClosed) return;
    this.#protocol.send(value, this.#clock.now());
    this.#schedule();
  }

  /** Calls back for each message, in order; those that came before are delivered now. */
  onMessage(callback: (value: unknown, payloadBytes: number) => void): void {
    this.#onMessage = callback;
    for (const message of this.#undelivered.splice(0)) this.#deliver(message);
  }

  /** Calls back if the peer is lost, at once if it is already. */
  onLost(callback: (error: PsgdError) => void): void {
    this.#onLost = callback;
    if (this.#lostError !== undefined) callback(this.#lostError);
  }

  /** Calls back when the peer, or this end, has closed the link properly. */
  onClosed(callback: () => void): void {
    this.#onClosed = callback;
  }

  /** Resolves when no more than `bytes` wait, or the link is over. */
  async drained(bytes: number): Promise<void> {
    await this.#until(() => this.queuedBytes <= bytes);
  }

  /** Resolves when everything sent has arrived, or the link is over. */
  async flush(): Promise<void> {
    await this.#until(() => this.#protocol.isFlushed);
  }

  /** Lets everything sent arrive, says goodbye, and closes; gives up on a peer that does not answer. */
  async close(): Promise<void> {
    if (this.isClosed) return;
    this.#protocol.bye(this.#clock.now());
    this.#schedule();
    const cancel = this.#clock.setTimer(CLOSE_TIMEOUT_MS, () => {
      this.#protocol.abandon();
      this.#over(undefined);
    });
    await this.#until(() => false);
    cancel();
  }

  /** The endpoint's: a frame for this link. */
  onFrame(frame: Frame): void {
    this.#protocol.onFrame(frame, this.#clock.now());
    this.#schedule();
  }

  /** The endpoint's: the transport is cut or back. */
  onStatus(status: Transport["status"]): void {
    this.#protocol.onStatus(status, this.#clock.now());
    this.#schedule();
  }

  /** The endpoint's: the peer is another now. */
  lose(error: PsgdError): void {
    this.#protocol.abandon();
    this.#over(error);
  }

  #transmit(frame: Uint8Array): void {
    if (this.#transport.status === "connected") this.#transport.send(this.peerAddress, frame);
  }

  #deliver(message: Uint8Array): void {
    if (this.#onMessage === undefined) {
      this.#undelivered.push(message);
      return;
    }
    let value: unknown;
    try {
      value = unpack(message);
    } catch (cause) {
      this.lose(
        new PsgdError(
          "WIRE_MALFORMED",
          `message from ${this.peerAddress}: ${toErrorRecord(cause).message}`,
          { cause },
        ),
      );
      return;
    }
    try {
      this.#onMessage(value, message.length);
    } catch (error) {
      this.#log.error(
        `bug: a handler of ${this.peerAddress} threw: ${toErrorRecord(error).stack ?? ""}`,
      );
    }
  }

  #over(error: PsgdError | undefined): void {
    this.#cancelTimer();
    this.#timerAt = Infinity;
    this.#onOver();
    this.#lostError = error;
    this.#wakeWaiters();
    if (error === undefined) this.#onClosed?.();
    else this.#onLost?.(error);
  }

  #until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (!condition() && !this.isClosed) return;
        this.#waiters.delete(check);
        resolve();
      };
      this.#waiters.add(check);
      check();
    });
  }

  #wakeWaiters(): void {
    for (const check of [...this.#waiters]) check();
  }

  /** One timer, moved only when something is due earlier than it: most frames only push the deadlines away. */
  #schedule(): void {
    const { wakeAt } = this.#protocol;
    if (wakeAt === Infinity || wakeAt >= this.#timerAt) return;
    this.#cancelTimer();
    this.#timerAt = wakeAt;
    const ms = Math.max(0, Math.ceil(wakeAt - this.#clock.now()));
    this.#cancelTimer = this.#clock.setTimer(ms, () => {
      invariant(!this.isClosed, "a timer of a link that is over");
      this.#timerAt = Infinity;
      this.#protocol.onTime(this.#clock.now());
      this.#schedule();
    });
  }
}
