import { PsgdError } from "@psgd/core";

/** Appends numbers of any width to a row of bits, the first in the lowest place. */
export class BitWriter {
  #bytes: Uint8Array;
  #bitCount = 0;

  constructor(expectedBytes: number) {
    this.#bytes = new Uint8Array(Math.max(16, expectedBytes));
  }

  /** @param width - 0 … 24 */
  write(value: number, width: number): void {
    const place = this.#bitCount >>> 3;
    if (place + 4 > this.#bytes.length) this.#grow();
    const shifted = value << (this.#bitCount & 7);
    this.#bytes[place] |= shifted;
    this.#bytes[place + 1] |= shifted >>> 8;
    this.#bytes[place + 2] |= shifted >>> 16;
    this.#bytes[place + 3] |= shifted >>> 24;
    this.#bitCount += width;
  }

  /** The whole bytes that hold what was written. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, (this.#bitCount + 7) >>> 3);
  }

  #grow(): void {
    const larger = new Uint8Array(2 * this.#bytes.length);
    larger.set(this.#bytes);
    this.#bytes = larger;
  }
}

/** Reads what a `BitWriter` wrote. */
export class BitReader {
  readonly #bytes: Uint8Array;
  #bitCount = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /**
   * @param width - 0 … 24
   * @throws {PsgdError} WIRE_MALFORMED past the end
   */
  read(width: number): number {
    const bytes = this.#bytes;
    const place = this.#bitCount >>> 3;
    if (this.#bitCount + width > 8 * bytes.length)
      throw new PsgdError(
        "WIRE_MALFORMED",
        `bits: expected ${width} more, got the end of ${bytes.length} bytes`,
      );
    const word =
      bytes[place] |
      ((bytes[place + 1] ?? 0) << 8) |
      ((bytes[place + 2] ?? 0) << 16) |
      ((bytes[place + 3] ?? 0) << 24);
    const value = (word >>> (this.#bitCount & 7)) & (2 ** width - 1);
    this.#bitCount += width;
    return value;
  }

  /** @throws {PsgdError} WIRE_MALFORMED if more than the rest of a byte is left */
  requireEnd(): void {
    if ((this.#bitCount + 7) >>> 3 === this.#bytes.length) return;
    throw new PsgdError(
      "WIRE_MALFORMED",
      `bits: expected ${(this.#bitCount + 7) >>> 3} bytes, got ${this.#bytes.length}`,
    );
  }
}
