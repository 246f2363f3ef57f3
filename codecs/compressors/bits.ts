import { PsgdError } from "@psgd/core";

/** Appends numbers of any width to a row of bits, the first in the lowest place. */
export class BitWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #bitCount = 0;
  /** The bits of the last byte, while it is not full. */
  #rest = 0;

  constructor(expectedBytes: number) {
    this.#bytes = new Uint8Array(Math.max(16, expectedBytes));
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** @param width - 0 … 24 */
  write(value: number, width: number): void {
    const place = this.#bitCount >>> 3;
    if (place + 4 > this.#bytes.length) this.#grow();
    const used = this.#bitCount & 7;
    const word = this.#rest | (value << used);
    this.#view.setUint32(place, word, true);
    this.#rest = word >>> ((used + width) & ~7);
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
    this.#view = new DataView(larger.buffer);
  }
}

/** Reads what a `BitWriter` wrote. */
export class BitReader {
  readonly #byteCount: number;
  readonly #view: DataView;
  #bitCount = 0;

  constructor(bytes: Uint8Array) {
    this.#byteCount = bytes.length;
    // Whole words are read, also at the end.
    const padded = new Uint8Array(bytes.length + 4);
    padded.set(bytes);
    this.#view = new DataView(padded.buffer);
  }

  /**
   * @param width - 0 … 24
   * @throws {PsgdError} WIRE_MALFORMED past the end
   */
  read(width: number): number {
    const word = this.#word();
    this.#skip(width);
    return word & ((1 << width) - 1);
  }

  /**
   * Reads ones and the zero that ends them; after `most` ones, 24 at most, there is none.
   *
   * @throws {PsgdError} WIRE_MALFORMED past the end
   */
  readOnes(most: number): number {
    const zeros = ~this.#word();
    const ones = Math.min(most, 31 - Math.clz32(zeros & -zeros));
    this.#skip(ones === most ? most : ones + 1);
    return ones;
  }

  /** The next bits, at least 25 of them; zeros after the last. */
  #word(): number {
    return this.#view.getUint32(this.#bitCount >>> 3, true) >>> (this.#bitCount & 7);
  }

  #skip(width: number): void {
    this.#bitCount += width;
    if (this.#bitCount > 8 * this.#byteCount) this.#refuse(width);
  }

  #refuse(width: number): never {
    throw new PsgdError(
      "WIRE_MALFORMED",
      `bits: expected ${width} more, got the end of ${this.#byteCount} bytes`,
    );
  }

  /** @throws {PsgdError} WIRE_MALFORMED if more than the rest of a byte is left */
  requireEnd(): void {
    if ((this.#bitCount + 7) >>> 3 === this.#byteCount) return;
    throw new PsgdError(
      "WIRE_MALFORMED",
      `bits: expected ${(this.#bitCount + 7) >>> 3} bytes, got ${this.#byteCount}`,
    );
  }
}
