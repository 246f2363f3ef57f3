import { PsgdError, type TransportStatus } from "@psgd/core";
import { Packing } from "@psgd/wire";
import {
  frameFor,
  headerBytes,
  stamp,
  UNKNOWN_LINK,
  type Frame,
  type FrameType,
  type LinkId,
} from "./link-frame.js";
import { ReceivingWindow } from "./receiving-window.js";
import { SendingWindow, WINDOW_BYTES, WINDOW_FRAMES } from "./sending-window.js";

/** What the protocol wants done. */
export interface LinkEffects {
  /** Hands a frame to the transport. */
  transmit(frame: Uint8Array): void;
  /** A message has arrived whole; the bytes are the receiver's own and aligned. */
  deliver(message: Uint8Array): void;
  /** Both sides have said goodbye, and everything has arrived. */
  closed(): void;
  lost(error: PsgdError): void;
  /** More was acknowledged. */
  progressed(): void;
}

export interface LinkIdentity {
  readonly address: string;
  readonly peerAddress: string;
  readonly linkId: LinkId;
  /** Silence after which the peer is lost. */
  readonly deadAfterMs: number;
  /** Most payload of one frame; a multiple of eight. */
  readonly chunkBytes: number;
  /** Most frames that may be on their way unacknowledged. */
  readonly windowFrames: number;
}

/** Signs of life when there is nothing else to say; also the step in which silence is counted. */
export const HEARTBEAT_MS = 500;

/** An acknowledgement waits so long for a frame to travel with. */
const ACK_DELAY_MS = 5;

/** A side that closes, and whose messages have all arrived, gives up after so many heartbeats of silence. */
const CLOSE_PATIENCE_TICKS = 4;

/**
 * One side of a reliable link, without time or network of its own: told what happens and when, it says what to do.
 *
 * `data` and `bye` frames have positions; the sending window repeats them until they have arrived, the receiving window
 * puts them in order. Every frame names the link's id on both sides, so that one of an earlier link, or meant for an
 * earlier process, is never taken for one of this. A link ends well when both sides have said `bye`, after their last
 * message, and both have been heard; the side that hears it first says it by itself.
 */
export class LinkProtocol {
  bytesSent = 0;
  bytesReceived = 0;
  peerLinkId: LinkId = UNKNOWN_LINK;
  readonly #identity: LinkIdentity;
  readonly #effects: LinkEffects;
  readonly #sending: SendingWindow;
  readonly #receiving = new ReceivingWindow();
  #headerBytes = 0;
  /** Frames and bytes that came since the last acknowledgement. */
  #unsaidFrames = 0;
  #unsaidBytes = 0;
  #ackAt = Infinity;
  #isConnected: boolean;
  #tickAt: number;
  #silentTicks = 0;
  #closingTicks = 0;
  #hasSpoken = false;
  #hasPeerClosed = false;
  #state: "open" | "closing" | "over" = "open";

  constructor(identity: LinkIdentity, effects: LinkEffects, status: TransportStatus, now: number) {
    this.#identity = identity;
    this.#effects = effects;
    this.#isConnected = status === "connected";
    this.#sending = new SendingWindow(
      (frame) => this.#transmit(frame),
      this.#isConnected,
      identity.windowFrames,
    );
    this.#tickAt = now + HEARTBEAT_MS;
  }

  /** Bytes of messages that wait to be sent or acknowledged. */
  get queuedBytes(): number {
    return this.#sending.queuedBytes;
  }

  /** Bytes sent beyond the messages. */
  get overheadBytes(): number {
    return this.#headerBytes + this.#sending.repeatedBytes;
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  get isOver(): boolean {
    return this.#state === "over";
  }

  /** Whether everything sent has arrived. */
  get isFlushed(): boolean {
    return this.#sending.isEmpty;
  }

  /** Position up to which everything of the peer has arrived. */
  get acknowledged(): number {
    return this.#receiving.acknowledgement.acknowledged;
  }

  /** When something is due if nothing happens before. */
  get wakeAt(): number {
    if (this.#state === "over") return Infinity;
    return Math.min(this.#sending.wakeAt, this.#ackAt, this.#tickAt);
  }

  /** Makes itself known to a peer that may not know of this link. */
  hello(): void {
    this.#sendAck();
  }

  /**
   * Sends a value; it is copied before this returns.
   * @throws {PsgdError} PAYLOAD_UNPACKABLE, PAYLOAD_TOO_LARGE
   */
  send(value: unknown, now: number): void {
    const packing = new Packing(value);
    const { byteLength } = packing;
    const { chunkBytes } = this.#identity;
    this.bytesSent += byteLength;
    for (let offset = 0; offset < byteLength; offset += chunkBytes) {
      const payloadBytes = Math.min(chunkBytes, byteLength - offset);
      const frame = this.#frame("data", payloadBytes, byteLength, offset);
      packing.copyTo(frame.subarray(frame.length - payloadBytes), offset);
      this.#sending.add(frame, payloadBytes, now);
    }
  }

  /** Says goodbye after everything sent before. */
  close(now: number): void {
    if (this.#state !== "open") return;
    this.#state = "closing";
    this.#sending.add(this.#frame("bye", 0, 0, 0), 0, now);
  }

  onFrame(frame: Frame, now: number): void {
    if (this.#state === "over") return;
    this.#silentTicks = 0;
    const isFirst = this.peerLinkId === UNKNOWN_LINK;
    if (frame.type !== "reset") this.peerLinkId = frame.linkId;
    this.#closingTicks = 0;
    if (this.#sending.acknowledge(frame, now)) this.#effects.progressed();
    if (frame.type === "reset") {
      this.#onReset();
      return;
    }
    if (isFirst) this.#sending.onFirstSignOfLife(now);
    this.#sending.onSignOfLife(now);
    if (frame.type !== "ack") this.#onContent(frame, now);
    this.#endIfDone();
  }

  /** The transport was cut or is back: while it is cut, silence is nobody's fault and sending is vain. */
  onStatus(status: TransportStatus, now: number): void {
    if (this.#state === "over") return;
    if (status === "closed") {
      const text = `link to ${this.#identity.peerAddress}: expected an open transport, got a closed one`;
      this.end(new PsgdError("TRANSPORT_CLOSED", text));
      return;
    }
    this.#isConnected = status === "connected";
    this.#silentTicks = 0;
    if (this.#isConnected) this.#sendAck();
    this.#sending.onConnected(this.#isConnected, now);
  }

  /** Does what is due. */
  onTime(now: number): void {
    if (this.#state === "over") return;
    if (now >= this.#tickAt) {
      // From now, not from when it was due: a pause of this process is one tick and no silence of the peer, whose
      // frames of that time are yet to be read.
      this.#tickAt = now + HEARTBEAT_MS;
      this.#onTick();
      if (this.isOver) return;
    }
    this.#sending.onTime(now);
    if (now >= this.#ackAt) this.#sendAck();
  }

  /** Ends without a word, well or with an error. */
  end(error?: PsgdError): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#sending.clear();
    this.#receiving.clear();
    if (error === undefined) this.#effects.closed();
    else this.#effects.lost(error);
  }

  #onContent(frame: Frame, now: number): void {
    if (!this.#receiving.add(frame)) {
      // Our acknowledgement was lost, or its sender is ahead of us: say at once how far we are.
      this.#sendAck();
      return;
    }
    this.#unsaidFrames++;
    this.#unsaidBytes += frame.payload.length;
    this.#ackAt = Math.min(this.#ackAt, now + ACK_DELAY_MS);
    for (let next = this.#receiving.take(); next !== undefined; next = this.#receiving.take()) {
      this.#onNext(next, now);
      if (this.isOver) return;
    }
    const isHalfUsed =
      this.#unsaidBytes >= WINDOW_BYTES / 2 || this.#unsaidFrames >= WINDOW_FRAMES / 2;
    if (this.#receiving.hasGap || isHalfUsed || this.#hasPeerClosed) this.#sendAck();
  }

  /** The next frame in order. */
  #onNext(frame: Frame, now: number): void {
    if (frame.type === "bye") {
      this.#hasPeerClosed = true;
      this.close(now);
      return;
    }
    let message: Uint8Array | undefined;
    try {
      message = this.#receiving.assemble(frame);
    } catch (error) {
      this.end(error as PsgdError);
      return;
    }
    if (message === undefined) return;
    this.bytesReceived += message.length;
    this.#effects.deliver(message);
  }

  /** The peer does not have this link (any more). */
  #onReset(): void {
    // It has ended it; if all of ours had arrived by then, that is as good a goodbye as any.
    const isGood = this.#state === "closing" && this.#sending.queuedBytes === 0;
    this.end(isGood ? undefined : this.#lost("a side that has ended it or was restarted"));
  }

  #endIfDone(): void {
    if (this.#state === "closing" && this.#hasPeerClosed && this.isFlushed) this.end();
  }

  #onTick(): void {
    if (this.#isConnected) this.#silentTicks++;
    if (this.#silentTicks * HEARTBEAT_MS >= this.#identity.deadAfterMs) {
      this.end(this.#lost(`no sign of life for ${this.#identity.deadAfterMs} ms`));
      return;
    }
    // A side that has said goodbye answers until it has ours: its silence says that it has, and only our knowing is lost.
    const isHeard = this.#hasPeerClosed || this.#sending.queuedBytes === 0;
    // One that lacks our last messages may be paused or cut off: it would lose them, and us, if we went sooner.
    const patienceTicks = isHeard
      ? CLOSE_PATIENCE_TICKS
      : this.#identity.deadAfterMs / HEARTBEAT_MS;
    if (this.#state === "closing" && ++this.#closingTicks > patienceTicks) {
      this.end(isHeard ? undefined : this.#lost("nobody that takes the last messages"));
      return;
    }
    if (!this.#hasSpoken || this.peerLinkId === UNKNOWN_LINK) this.#sendAck();
    this.#hasSpoken = false;
  }

  #frame(type: FrameType, payloadBytes: number, messageBytes: number, offset: number): Uint8Array {
    const { address: from, linkId } = this.#identity;
    const isPlaced = type === "data" || type === "bye";
    this.#headerBytes += headerBytes(from);
    const sequence = isPlaced ? this.#sending.nextSequence : 0;
    return frameFor({ type, from, linkId, sequence, messageBytes, offset }, payloadBytes);
  }

  #sendAck(): void {
    if (this.#state !== "over") this.#transmit(this.#frame("ack", 0, 0, 0));
  }

  /** Every frame carries the latest acknowledgement. */
  #transmit(frame: Uint8Array): void {
    this.#hasSpoken = true;
    this.#ackAt = Infinity;
    this.#unsaidFrames = 0;
    this.#unsaidBytes = 0;
    if (!this.#isConnected) return;
    stamp(frame, this.peerLinkId, this.#receiving.acknowledgement);
    this.#effects.transmit(frame);
  }

  #lost(got: string): PsgdError {
    const { address, peerAddress } = this.#identity;
    return new PsgdError(
      "NODE_LOST",
      `${peerAddress}: expected a living peer, got ${got}; link from ${address}; check that its process runs`,
    );
  }
}
