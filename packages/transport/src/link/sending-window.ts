import { CHUNK_BYTES } from "../frame-rules.js";
import type { Acknowledgement } from "./link-frame.js";
import { RetransmissionTimeout } from "./retransmission-timeout.js";

/** What may be on its way unacknowledged: the credit that a receiver gives. */
export const WINDOW_BYTES = 8 * CHUNK_BYTES;
export const WINDOW_FRAMES = 512;

/** A frame counts as lost when one sent so many frames later has arrived (RFC 9002, section 6.1.1). */
const REORDERING_FRAMES = 3;

/** An acknowledgement that is younger than this may still be on its way. */
const ANSWER_MS = 200;

interface Outgoing {
  readonly sequence: number;
  readonly frame: Uint8Array;
  readonly payloadBytes: number;
  /** Number of the latest sending among all sendings of the link. */
  sending: number;
  sentAt: number;
  isRepeated: boolean;
  hasArrived: boolean;
}

/**
 * The frames of one side that are not acknowledged, oldest first: as many on their way as the receiver gives credit
 * for, each kept until it has arrived, and sent again when a later one has overtaken it, when nothing comes for too
 * long, or when the connection was cut after it was sent.
 */
export class SendingWindow {
  readonly #send: (frame: Uint8Array) => void;
  readonly #windowFrames: number;
  readonly #inFlight: Outgoing[] = [];
  readonly #waiting: Outgoing[] = [];
  /** Where the waiting ones start: taking from the front of a long list is slow. */
  #waitingFrom = 0;
  readonly #timeout = new RetransmissionTimeout();
  #inFlightBytes = 0;
  #isConnected: boolean;
  #nextSending = 0;
  /** Sendings before this may have met a cut connection; told by the first sign of life after it. */
  #suspectedBefore = 0;
  #expiresAt = Infinity;
  nextSequence = 0;
  /** Payload that has not been acknowledged. */
  queuedBytes = 0;
  /** Of frames sent again. */
  repeatedBytes = 0;

  /** @param windowFrames - most frames on their way; a receiver takes in up to `WINDOW_FRAMES` */
  constructor(send: (frame: Uint8Array) => void, isConnected: boolean, windowFrames: number) {
    this.#send = send;
    this.#windowFrames = windowFrames;
    this.#isConnected = isConnected;
  }

  /** Whether everything has arrived. */
  get isEmpty(): boolean {
    return this.#inFlight.length === 0 && this.#waitingFrom === this.#waiting.length;
  }

  /** When `onTime` has something to do. */
  get wakeAt(): number {
    return this.#isConnected ? this.#expiresAt : Infinity;
  }

  /** Takes the frame at `nextSequence`, which is kept and sent when there is credit. */
  add(frame: Uint8Array, payloadBytes: number, now: number): void {
    this.#waiting.push({
      sequence: this.nextSequence++,
      frame,
      payloadBytes,
      sending: 0,
      sentAt: 0,
      isRepeated: false,
      hasArrived: false,
    });
    this.queuedBytes += payloadBytes;
    this.#sendWaiting(now);
  }

  /** @returns whether something arrived that had not been acknowledged before */
  acknowledge({ acknowledged, early }: Acknowledgement, now: number): boolean {
    let latest = -1;
    const arrive = (outgoing: Outgoing): void => {
      if (outgoing.hasArrived) return;
      outgoing.hasArrived = true;
      latest = Math.max(latest, outgoing.sending);
      if (!outgoing.isRepeated) this.#timeout.measured(now - outgoing.sentAt);
    };
    while (this.#inFlight.length > 0 && this.#inFlight[0]!.sequence < acknowledged) {
      const outgoing = this.#inFlight.shift()!;
      arrive(outgoing);
      this.#inFlightBytes -= outgoing.payloadBytes;
      this.queuedBytes -= outgoing.payloadBytes;
    }
    // Position 0 is the first missing frame, whose successors the bits tell of.
    const told = this.#inFlight.slice(0, 33);
    for (const outgoing of told) {
      const bit = outgoing.sequence - acknowledged - 1;
      if (bit >= 0 && bit < 32 && ((early >>> bit) & 1) === 1) arrive(outgoing);
    }
    if (latest < 0) return false;
    this.#timeout.progressed();
    this.#expiresAt = now + this.#timeout.ms;
    for (const outgoing of told) {
      if (outgoing.sending <= latest - REORDERING_FRAMES) this.#repeat(outgoing, now);
    }
    this.#sendWaiting(now);
    if (this.#inFlight.length === 0) this.#expiresAt = Infinity;
    return true;
  }

  /** The peer has given a sign of life: what was sent before the connection was cut goes out again. */
  onSignOfLife(now: number): void {
    if (this.#suspectedBefore === 0) return;
    const before = this.#suspectedBefore;
    this.#suspectedBefore = 0;
    for (const outgoing of this.#inFlight) {
      if (outgoing.sending < before) this.#repeat(outgoing, now);
    }
  }

  /** The peer is heard for the first time: it may not have been there when the first frames were sent. */
  onFirstSignOfLife(now: number): void {
    for (const outgoing of this.#inFlight) {
      if (now - outgoing.sentAt >= ANSWER_MS) this.#repeat(outgoing, now);
    }
  }

  onConnected(isConnected: boolean, now: number): void {
    this.#isConnected = isConnected;
    if (!isConnected) return;
    this.#suspectedBefore = this.#nextSending;
    this.#timeout.progressed();
    // Only the oldest, for the peer may come back later than we do and miss it.
    this.#repeatOldest(now);
    this.#sendWaiting(now);
  }

  onTime(now: number): void {
    if (now < this.wakeAt) return;
    this.#timeout.expired();
    this.#repeatOldest(now);
  }

  clear(): void {
    this.#inFlight.length = 0;
    this.#waiting.length = 0;
    this.#waitingFrom = 0;
    this.queuedBytes = 0;
    this.#expiresAt = Infinity;
  }

  #sendWaiting(now: number): void {
    while (
      this.#isConnected &&
      this.#waitingFrom < this.#waiting.length &&
      this.#inFlight.length < this.#windowFrames
    ) {
      const outgoing = this.#waiting[this.#waitingFrom]!;
      if (this.#inFlightBytes + outgoing.payloadBytes > WINDOW_BYTES) return;
      this.#waitingFrom++;
      // What has gone must not stay in memory here: often that is all there is, and the list is empty then.
      if (this.#waitingFrom === this.#waiting.length || this.#waitingFrom > WINDOW_FRAMES) {
        this.#waiting.splice(0, this.#waitingFrom);
        this.#waitingFrom = 0;
      }
      this.#inFlight.push(outgoing);
      this.#inFlightBytes += outgoing.payloadBytes;
      this.#transmit(outgoing, now);
    }
  }

  #repeatOldest(now: number): void {
    const oldest = this.#inFlight.find((outgoing) => !outgoing.hasArrived);
    this.#expiresAt = oldest === undefined ? Infinity : now + this.#timeout.ms;
    if (oldest !== undefined) this.#repeat(oldest, now);
  }

  #repeat(outgoing: Outgoing, now: number): void {
    if (outgoing.hasArrived) return;
    outgoing.isRepeated = true;
    this.repeatedBytes += outgoing.frame.length;
    this.#transmit(outgoing, now);
  }

  #transmit(outgoing: Outgoing, now: number): void {
    outgoing.sending = this.#nextSending++;
    outgoing.sentAt = now;
    if (this.#expiresAt === Infinity) this.#expiresAt = now + this.#timeout.ms;
    this.#send(outgoing.frame);
  }
}
