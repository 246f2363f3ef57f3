import { PsgdError } from "@psgd/core";
import { MAX_PACKED_BYTES, uninitialized } from "@psgd/wire";
import { CHUNK_BYTES } from "../frame-rules.js";
import type { Acknowledgement, Frame } from "./link-frame.js";
import { WINDOW_BYTES, WINDOW_FRAMES } from "./sending-window.js";

/**
 * Puts the frames of one sender in order, each once, and their pieces together. What it holds is bounded: early frames
 * by the window, and one message in the making by the limit of messages.
 */
export class ReceivingWindow {
  readonly #early = new Map<number, Frame>();
  #earlyBytes = 0;
  #expected = 0;
  #assembly: { readonly bytes: Uint8Array; filled: number } | undefined;

  /** What has arrived, as the sender is to know it. */
  get acknowledgement(): Acknowledgement {
    let acknowledged = this.#expected;
    // While frames are handed over one after the other, those whose turn comes next have arrived, too.
    while (this.#early.has(acknowledged)) acknowledged++;
    let early = 0;
    for (const sequence of this.#early.keys()) {
      const bit = sequence - acknowledged - 1;
      if (bit >= 0 && bit < 32) early |= 1 << bit;
    }
    return { acknowledged, early: early >>> 0 };
  }

  /** Whether frames wait for one that is missing. */
  get hasGap(): boolean {
    return this.#early.size > 0;
  }

  /** @returns false for a frame that has come before, or that no honest sender would send yet */
  add(frame: Frame): boolean {
    const { sequence, payload } = frame;
    const isInWindow = sequence >= this.#expected && sequence < this.#expected + WINDOW_FRAMES;
    if (!isInWindow || !Number.isInteger(sequence) || this.#early.has(sequence)) return false;
    if (sequence !== this.#expected && this.#earlyBytes + payload.length > WINDOW_BYTES)
      return false;
    this.#early.set(sequence, frame);
    this.#earlyBytes += payload.length;
    return true;
  }

  /** The next frame in order, if it is there. */
  take(): Frame | undefined {
    const frame = this.#early.get(this.#expected);
    if (frame === undefined) return undefined;
    this.#early.delete(this.#expected);
    this.#earlyBytes -= frame.payload.length;
    this.#expected++;
    return frame;
  }

  /**
   * Adds the piece of a `data` frame.
   * @returns the message, in memory of its own and aligned, if it is whole now
   * @throws {PsgdError} WIRE_MALFORMED. The checksum held, so the peer does not keep the rules: better no link than a
   *   wrong message
   */
  assemble({ messageBytes, offset, payload, from }: Frame): Uint8Array | undefined {
    if (this.#assembly === undefined) {
      if (offset === 0 && payload.length === messageBytes) return payload;
      if (messageBytes > MAX_PACKED_BYTES) {
        throw malformed(from, `at most ${MAX_PACKED_BYTES} bytes`, `${messageBytes}`);
      }
      this.#assembly = { bytes: uninitialized(messageBytes), filled: 0 };
    }
    const { bytes, filled } = this.#assembly;
    const isNext = offset === filled && messageBytes === bytes.length;
    if (
      !isNext ||
      payload.length === 0 ||
      payload.length > Math.min(CHUNK_BYTES, bytes.length - filled)
    ) {
      throw malformed(from, `its piece at byte ${filled} of ${bytes.length}`, `one at ${offset}`);
    }
    bytes.set(payload, offset);
    this.#assembly.filled += payload.length;
    if (this.#assembly.filled < bytes.length) return undefined;
    this.#assembly = undefined;
    return bytes;
  }

  clear(): void {
    this.#early.clear();
    this.#assembly = undefined;
  }
}

function malformed(from: string, expected: string, got: string): PsgdError {
  return new PsgdError("WIRE_MALFORMED", `message: expected ${expected}, got ${got}; from ${from}`);
}
