import { PsgdError, type TransportStatus } from "@psgd/core";
import { MAX_PACKED_BYTES, Packing, uninitialized } from "@psgd/wire";
import { CHUNK_BYTES } from "../frame-rules.js";
import {
  frameFor,
  seal,
  stamp,
  type Frame,
  type FrameType,
  type Incarnation,
} from "./link-frame.js";

/** What the protocol wants done. */
export interface LinkEffects {
  /** Hands a frame to the transport. */
  transmit(frame: Uint8Array): void;
  /** A message has arrived whole; the bytes are the receiver's own and aligned. */
  deliver(message: Uint8Array): void;
  /** The peer has said goodbye: nothing more comes, nothing more is heard. */
  closed(): void;
  lost(error: PsgdError): void;
  /** More was acknowledged. */
  progressed(): void;
}

export interface LinkIdentity {
  readonly address: string;
  readonly peerAddress: string;
  readonly incarnation: Incarnation;
  readonly deadAfterMs: number;
}

/** Bytes and frames that may be on their way unacknowledged: the credit of a receiver. */
const WINDOW_BYTES = 8 * CHUNK_BYTES;
const WINDOW_FRAMES = 512;

const RETRANSMIT_FIRST_MS = 200;
const RETRANSMIT_MAX_MS = 2_000;
const HEARTBEAT_MS = 500;
/** An acknowledgement waits so long for a frame to travel with. */
const ACK_DELAY_MS = 5;

interface Sent {
  readonly sequence: number;
  readonly frame: Uint8Array;
  readonly payloadBytes: number;
}

/**
 * One end of a reliable link, without time or network of its own: told what happens and when, it says what to do.
 *
 * Each `data` or `bye` frame has a position. The receiver takes them in order, keeps early ones within the window,
 * drops repeated ones, and acknowledges the position up to which it has all. The sender keeps every frame until it is
 * acknowledged and repeats the oldest after a pause that doubles. Every frame names both incarnations, so that one meant
 * for a session that has ended is not taken for the present one.
 */
export class LinkProtocol {
  bytesSent = 0;
  bytesReceived = 0;
  overheadBytes = 0;
  readonly #identity: LinkIdentity;
  readonly #effects: LinkEffects;
  peerIncarnation: Incarnation = 0n;
  // Sending.
  readonly #outbox: Sent[] = [];
  readonly #inFlight: Sent[] = [];
  #inFlightBytes = 0;
  #queuedBytes = 0;
  #nextSequence = 0;
  #retransmitAt = Infinity;
  #retransmitMs = RETRANSMIT_FIRST_MS;
  // Receiving.
  #expected = 0;
  readonly #early = new Map<number, Frame>();
  #assembly: { bytes: Uint8Array; filled: number } | undefined;
  #unacknowledgedBytes = 0;
  #ackAt = Infinity;
  // Life.
  #isConnected: boolean;
  #heardAt: number;
  #saidAt: number;
  #state: "open" | "closing" | "closed" | "lost" = "open";

  constructor(identity: LinkIdentity, effects: LinkEffects, now: number, status: TransportStatus) {
    this.#identity = identity;
    this.#effects = effects;
    this.#heardAt = now;
    this.#saidAt = now - HEARTBEAT_MS;
    this.#isConnected = status === "connected";
  }

  /** Bytes that wait to be sent or acknowledged. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  get isOver(): boolean {
    return this.#state === "closed" || this.#state === "lost";
  }

  /** Whether everything sent has arrived. */
  get isFlushed(): boolean {
    return this.#outbox.length === 0 && this.#inFlight.length === 0;
  }

  /** When something is due if nothing happens before. */
  get wakeAt(): number {
    if (this.isOver) return Infinity;
    const deadAt = this.#isConnected ? this.#heardAt + this.#identity.deadAfterMs : Infinity;
    return Math.min(this.#retransmitAt, this.#ackAt, this.#saidAt + HEARTBEAT_MS, deadAt);
  }

  /** Sends a value; it is copied before this returns. @returns its bytes */
  send(value: unknown, now: number): number {
    const packing = new Packing(value);
    const { byteLength } = packing;
    for (let offset = 0; offset < byteLength || offset === 0; offset += CHUNK_BYTES) {
      const payloadBytes = Math.min(CHUNK_BYTES, byteLength - offset);
      const { frame, payloadStart } = frameFor(
        this.#header("data", this.#nextSequence, byteLength, offset),
        payloadBytes,
      );
      packing.copyTo(frame.subarray(payloadStart), offset);
      this.#enqueue(frame, payloadBytes, payloadStart);
    }
    this.bytesSent += byteLength;
    this.#pump(now);
    return byteLength;
  }

  /** Says goodbye after everything sent before. */
  bye(now: number): void {
    if (this.#state !== "open") return;
    this.#state = "closing";
    const { frame, payloadStart } = frameFor(this.#header("bye", this.#nextSequence, 0, 0), 0);
    this.#enqueue(frame, 0, payloadStart);
    this.#pump(now);
  }

  onFrame(frame: Frame, now: number): void {
    if (this.isOver) return;
    this.#heardAt = now;
    this.peerIncarnation = frame.incarnation;
    if (frame.type === "reset") {
      // The peer has closed this link; if it did so before our goodbye arrived, that is an end as good.
      this.#end(
        this.#state === "closing"
          ? undefined
          : this.#lostError("it has ended this session", "was it restarted?"),
      );
      return;
    }
    this.#acknowledge(frame.acknowledged, now);
    if (frame.type === "ack") return;
    if (frame.sequence < this.#expected || this.#early.has(frame.sequence)) {
      // Ours was lost: say again at once how far we are.
      this.#sendAck(now);
      return;
    }
    if (frame.sequence >= this.#expected + WINDOW_FRAMES) return;
    this.#early.set(frame.sequence, frame);
    for (
      let next = this.#early.get(this.#expected);
      next !== undefined;
      next = this.#early.get(this.#expected)
    ) {
      this.#early.delete(this.#expected);
      this.#expected++;
      this.#take(next);
    }
    // A goodbye is acknowledged too, as the last thing: its sender waits for it.
    if (this.#hasEnded()) {
      this.#sendAck(now);
      return;
    }
    this.#unacknowledgedBytes += frame.payload.length;
    if (this.#unacknowledgedBytes >= WINDOW_BYTES / 2) this.#sendAck(now);
    else this.#ackAt = Math.min(this.#ackAt, now + ACK_DELAY_MS);
  }

  /** The transport was cut or is back: while it is cut, silence is nobody's fault and sending is vain. */
  onStatus(status: TransportStatus, now: number): void {
    this.#isConnected = status === "connected";
    if (!this.#isConnected || this.isOver) return;
    this.#heardAt = now;
    this.#retransmitMs = RETRANSMIT_FIRST_MS;
    this.#retransmit(now);
    this.#sendAck(now);
  }

  /** Does what is due. */
  onTime(now: number): void {
    if (this.isOver) return;
    if (this.#isConnected && now >= this.#heardAt + this.#identity.deadAfterMs) {
      this.#end(
        this.#lostError(`no sign of life for ${this.#identity.deadAfterMs} ms`, "is it running?"),
      );
      return;
    }
    if (now >= this.#retransmitAt) this.#retransmit(now);
    if (now >= this.#ackAt || now >= this.#saidAt + HEARTBEAT_MS) this.#sendAck(now);
  }

  /** Ends without a word. */
  abandon(): void {
    this.#state = "closed";
    this.#release();
  }

  #header(type: FrameType, sequence: number, messageBytes: number, offset: number) {
    const { address, incarnation } = this.#identity;
    return {
      type,
      from: address,
      incarnation,
      peerIncarnation: this.peerIncarnation,
      sequence,
      acknowledged: this.#expected,
      messageBytes,
      offset,
    };
  }

  #enqueue(frame: Uint8Array, payloadBytes: number, headerBytes: number): void {
    this.overheadBytes += headerBytes;
    this.#queuedBytes += payloadBytes;
    this.#outbox.push({ sequence: this.#nextSequence++, frame, payloadBytes });
  }

  /** Sends what the window has room for. */
  #pump(now: number): void {
    while (this.#outbox.length > 0 && this.#inFlight.length < WINDOW_FRAMES) {
      const next = this.#outbox[0]!;
      if (this.#inFlight.length > 0 && this.#inFlightBytes + next.payloadBytes > WINDOW_BYTES)
        return;
      this.#outbox.shift();
      this.#inFlight.push(next);
      this.#inFlightBytes += next.payloadBytes;
      if (this.#retransmitAt === Infinity) this.#retransmitAt = now + this.#retransmitMs;
      this.#transmit(next, now);
    }
  }

  #transmit({ frame }: Sent, now: number): void {
    this.#saidAt = now;
    this.#ackAt = Infinity;
    this.#unacknowledgedBytes = 0;
    if (this.#isConnected)
      this.#effects.transmit(stamp(frame, this.#expected, this.peerIncarnation));
  }

  #retransmit(now: number): void {
    if (this.#inFlight.length === 0) {
      this.#retransmitAt = Infinity;
      return;
    }
    for (const sent of this.#inFlight) {
      this.overheadBytes += sent.frame.length;
      this.#transmit(sent, now);
    }
    this.#retransmitMs = Math.min(RETRANSMIT_MAX_MS, this.#retransmitMs * 2);
    this.#retransmitAt = now + this.#retransmitMs;
  }

  #acknowledge(acknowledged: number, now: number): void {
    let hasProgressed = false;
    while (this.#inFlight.length > 0 && this.#inFlight[0]!.sequence < acknowledged) {
      const { payloadBytes } = this.#inFlight.shift()!;
      this.#inFlightBytes -= payloadBytes;
      this.#queuedBytes -= payloadBytes;
      hasProgressed = true;
    }
    if (!hasProgressed) return;
    this.#retransmitMs = RETRANSMIT_FIRST_MS;
    this.#retransmitAt = this.#inFlight.length === 0 ? Infinity : now + this.#retransmitMs;
    this.#pump(now);
    if (this.#state === "closing" && this.isFlushed) this.#end(undefined);
    this.#effects.progressed();
  }

  #sendAck(now: number): void {
    const { frame } = frameFor(this.#header("ack", this.#nextSequence, 0, 0), 0);
    this.overheadBytes += frame.length;
    this.#saidAt = now;
    this.#ackAt = Infinity;
    this.#unacknowledgedBytes = 0;
    if (this.#isConnected) this.#effects.transmit(seal(frame));
  }

  /** NOTE: a call, because the compiler does not know that taking a frame may change the state. */
  #hasEnded(): boolean {
    return this.isOver;
  }

  /** The next frame in order. */
  #take(frame: Frame): void {
    if (frame.type === "bye") {
      this.#end(undefined);
      return;
    }
    const { messageBytes, offset, payload } = frame;
    if (offset === 0 && payload.length === messageBytes) {
      this.#deliver(payload);
      return;
    }
    // The checksum held, so a piece that does not fit is a peer that lies or a bug: better no link than a wrong message.
    if (offset === 0 && Number.isSafeInteger(messageBytes) && messageBytes <= MAX_PACKED_BYTES) {
      this.#assembly = { bytes: uninitialized(messageBytes), filled: 0 };
    }
    const assembly = this.#assembly;
    if (
      assembly === undefined ||
      offset !== assembly.filled ||
      offset + payload.length > assembly.bytes.length
    ) {
      this.#end(
        new PsgdError(
          "WIRE_MALFORMED",
          `message from ${this.#identity.peerAddress}: expected its next piece at byte ${assembly?.filled ?? 0}, got one at ${offset}`,
        ),
      );
      return;
    }
    assembly.bytes.set(payload, offset);
    assembly.filled += payload.length;
    if (assembly.filled < assembly.bytes.length) return;
    this.#assembly = undefined;
    this.#deliver(assembly.bytes);
  }

  #deliver(message: Uint8Array): void {
    this.bytesReceived += message.length;
    this.#effects.deliver(message);
  }

  #end(error: PsgdError | undefined): void {
    this.#state = error === undefined ? "closed" : "lost";
    this.#release();
    if (error === undefined) this.#effects.closed();
    else this.#effects.lost(error);
  }

  #release(): void {
    this.#outbox.length = 0;
    this.#inFlight.length = 0;
    this.#queuedBytes = 0;
    this.#inFlightBytes = 0;
    this.#early.clear();
    this.#assembly = undefined;
  }

  #lostError(what: string, remedy: string): PsgdError {
    return new PsgdError(
      "NODE_LOST",
      `${this.#identity.peerAddress}: expected a living peer, got ${what}; link from ${this.#identity.address}; ${remedy}`,
    );
  }
}
