import {
  PsgdError,
  toErrorRecord,
  type Clock,
  type Logger,
  type Transport,
  type TransportStatus,
} from "@psgd/core";
import { unpack } from "@psgd/wire";
import type { Frame, LinkId } from "./link-frame.js";
import { LinkProtocol, type LinkIdentity } from "./link-protocol.js";

/**
 * One reliable line to one peer: each message arrives exactly once and in order, or the link is lost. Endpoints make
 * links.
 */
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

  /** @internal */
  constructor(
    identity: LinkIdentity,
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
      world.transport.status,
      world.clock.now(),
    );
    this.#schedule();
  }

  /** Whether nothing can be sent any more: one side is closing, or the link is over. */
  get isClosed(): boolean {
    return !this.#protocol.isOpen;
  }

  /** Packed bytes of all messages sent, each counted once. */
  get bytesSent(): number {
    return this.#protocol.bytesSent;
  }

  /** Packed bytes of all messages received, each counted once. */
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
   * Sends a message; it is copied before this returns. On a closed link it goes nowhere: `onLost` or `onClosed` says so.
   * @throws {PsgdError} PAYLOAD_UNPACKABLE, PAYLOAD_TOO_LARGE
   */
  send(value: unknown): void {
    if (this.isClosed) return;
    this.#protocol.send(value, this.#clock.now());
    this.#schedule();
  }

  /**
   * Calls back for each message, in order; those that came before are delivered now. Typed arrays in it are the
   * receiver's own.
   */
  onMessage(callback: (value: unknown, payloadBytes: number) => void): void {
    this.#onMessage = callback;
    for (const message of this.#undelivered.splice(0)) this.#deliver(message);
  }

  /** Calls back if the peer is lost, at once if it is already. */
  onLost(callback: (error: PsgdError) => void): void {
    this.#onLost = callback;
    if (this.#lostError !== undefined) callback(this.#lostError);
  }

  /** Calls back when both sides have closed the link, at once if they have already. */
  onClosed(callback: () => void): void {
    this.#onClosed = callback;
    if (this.#protocol.isOver && this.#lostError === undefined) callback();
  }

  /** Resolves when no more than `bytes` wait, or the link is over. */
  async drained(bytes = 0): Promise<void> {
    await this.#until(() => this.queuedBytes <= bytes);
  }

  /** Resolves when everything sent has arrived, or the link is over. */
  async flush(): Promise<void> {
    await this.#until(() => this.#protocol.isFlushed);
  }

  /**
   * Lets everything sent arrive, says goodbye, and waits for the peer's; what it sends until then is still delivered.
   * Gives up after two seconds of silence; while messages have not arrived, after as many as an open link. Idempotent.
   */
  async close(): Promise<void> {
    this.#protocol.close(this.#clock.now());
    this.#schedule();
    await this.#until(() => false);
  }

  /** @internal */
  get peerLinkId(): LinkId {
    return this.#protocol.peerLinkId;
  }

  /** @internal Position up to which everything of the peer has arrived. */
  get acknowledged(): number {
    return this.#protocol.acknowledged;
  }

  /** @internal Makes this link known to a peer that does not expect it. */
  hello(): void {
    this.#protocol.hello();
  }

  /** @internal A frame for this link has come. */
  receive(frame: Frame): void {
    this.#protocol.onFrame(frame, this.#clock.now());
    this.#schedule();
  }

  /** @internal The transport is cut or back. */
  setStatus(status: TransportStatus): void {
    this.#protocol.onStatus(status, this.#clock.now());
    this.#schedule();
  }

  /** @internal Ends without a word. */
  lose(error: PsgdError): void {
    this.#protocol.end(error);
  }

  #transmit(frame: Uint8Array): void {
    if (this.#transport.status === "connected") this.#transport.send(this.peerAddress, frame);
  }

  #deliver(message: Uint8Array): void {
    const onMessage = this.#onMessage;
    if (onMessage === undefined) {
      this.#undelivered.push(message);
      return;
    }
    let value: unknown;
    try {
      value = unpack(message);
    } catch (cause) {
      // It arrived as it was sent: sending it again would not help, and leaving it out would break the promise.
      const text = `message from ${this.peerAddress}: ${toErrorRecord(cause).message}`;
      this.lose(new PsgdError("WIRE_MALFORMED", text, { cause }));
      return;
    }
    this.#call(() => onMessage(value, message.length));
  }

  #over(error: PsgdError | undefined): void {
    this.#cancelTimer();
    this.#timerAt = Infinity;
    this.#lostError = error;
    this.#onOver();
    this.#wakeWaiters();
    if (error === undefined) this.#call(() => this.#onClosed?.());
    else this.#call(() => this.#onLost?.(error));
  }

  /** A handler that throws must not stop the protocol in the middle of a step. */
  #call(handler: () => void): void {
    try {
      handler();
    } catch (error) {
      const { stack, message } = toErrorRecord(error);
      this.#log.error(
        `bug: a handler of the link to ${this.peerAddress} threw: ${stack ?? message}`,
      );
    }
  }

  #until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (!condition() && !this.#protocol.isOver) return;
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
    if (wakeAt >= this.#timerAt || wakeAt === Infinity) return;
    this.#cancelTimer();
    this.#timerAt = wakeAt;
    const ms = Math.max(0, Math.ceil(wakeAt - this.#clock.now()));
    this.#cancelTimer = this.#clock.setTimer(ms, () => {
      this.#timerAt = Infinity;
      this.#protocol.onTime(this.#clock.now());
      this.#schedule();
    });
  }
}
