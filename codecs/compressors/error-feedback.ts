import { PsgdError, type Random } from "@psgd/core";
import { subtract, type Chain, type Decoded, type Packet } from "./chain.js";
import type { Segment } from "./compressor.js";

/** What to send for a vector, and what the others will see of it. */
export interface Compressed {
  readonly packet: Packet;
  readonly decoded: Decoded;
}

/**
 * Compresses vector after vector. With error feedback, what one packet leaves out is added to the next vector (Seide et
 * al. 2014, section 3.1; Karimireddy et al. 2019, Algorithm 2), so that the packets sent and the residual together are
 * the sum of all vectors, up to rounding.
 */
export class Compression {
  readonly #chain: Chain;
  readonly #feedback: number;
  #residual: Float32Array | undefined;

  /** @param feedback - part of the residual that is added to the next vector: 0 for none, 1 for error feedback */
  constructor(chain: Chain, feedback: number) {
    this.#chain = chain;
    this.#feedback = feedback;
  }

  /**
   * @param vector - taken over: its memory holds the residual afterwards
   * @returns what to send, and what the others will see
   */
  compress(vector: Float32Array, segments: readonly Segment[], random: Random): Compressed {
    const residual = this.#residual;
    const feedback = this.#feedback;
    if (residual !== undefined)
      for (let i = 0; i < vector.length; i++) vector[i] += feedback * residual[i];
    const packet = this.#chain.encode(vector, segments, random);
    const decoded = this.#chain.decode(packet, vector.length, segments);
    if (feedback > 0) {
      subtract(vector, decoded);
      this.#residual = vector;
    }
    return { packet, decoded };
  }

  /** What was left out so far; nothing without error feedback, or before the first vector. */
  get residual(): Float32Array | undefined {
    return this.#residual;
  }

  exportState(): unknown {
    return this.#residual?.slice();
  }

  /** @throws {PsgdError} SHAPE_MISMATCH */
  importState(state: unknown, size: number): void {
    if (state !== undefined && !(state instanceof Float32Array && state.length === size)) {
      throw new PsgdError(
        "SHAPE_MISMATCH",
        `saved residual: expected ${size} values, got something else; it is of another model or codec`,
      );
    }
    this.#residual = state?.slice();
  }
}
