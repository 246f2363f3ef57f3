import { PsgdError, meanOf, requireList, type Random } from "@psgd/core";
import type { Quantizer, Segment, Sparsifier } from "./compressor.js";
import { decodePositions, encodePositions } from "./positions.js";

/** What travels for one vector: the positions of what is sent (none if all is), and its values in few bits. */
export type Packet = readonly [positions: Uint8Array | null, values: Uint8Array];

/** A vector that came out of a packet: all its values, or some and 0 elsewhere. */
export interface Decoded {
  /** Ascending. */
  readonly positions: Uint32Array | undefined;
  readonly values: Float32Array;
}

/** A compressor of whole vectors: perhaps a sparsifier, then a quantizer. */
export class Chain {
  readonly name: string;
  readonly #sparsifier: Sparsifier | undefined;
  readonly #quantizer: Quantizer;

  constructor(sparsifier: Sparsifier | undefined, quantizer: Quantizer) {
    this.#sparsifier = sparsifier;
    this.#quantizer = quantizer;
    this.name = sparsifier === undefined ? quantizer.name : `${sparsifier.name}, ${quantizer.name}`;
  }

  /**
   * @param values - not changed, not kept
   * @param segments - the tensors in it
   */
  encode(values: Readonly<Float32Array>, segments: readonly Segment[], random: Random): Packet {
    if (this.#sparsifier === undefined)
      return [null, this.#quantizer.encode(values, segments, random)];
    let positions = this.#sparsifier.pick(values, random);
    // Of a vector of zeros a zero is sent: an empty packet would be one more case for everybody.
    if (positions.length === 0) positions = new Uint32Array(1);
    const picked = new Float32Array(positions.length);
    for (let i = 0; i < picked.length; i++) picked[i] = values[positions[i]];
    return [
      encodePositions(positions, values.length),
      this.#quantizer.encode(picked, wholeOf(picked.length), random),
    ];
  }

  /**
   * @param packet - from another node, so perhaps not what `encode` returns
   * @throws {PsgdError} WIRE_MALFORMED
   */
  decode(packet: unknown, size: number, segments: readonly Segment[]): Decoded {
    const [coded, bytes] = requireList(packet, 2);
    if (!(bytes instanceof Uint8Array)) throw malformed("values of a packet", "bytes", bytes);
    if (this.#sparsifier === undefined) {
      if (coded !== null) throw malformed("positions of a packet", "none", coded);
      const values = new Float32Array(size);
      this.#quantizer.decode(bytes, segments, values);
      return { positions: undefined, values };
    }
    if (!(coded instanceof Uint8Array)) throw malformed("positions of a packet", "bytes", coded);
    const positions = decodePositions(coded, size);
    const values = new Float32Array(positions.length);
    this.#quantizer.decode(bytes, wholeOf(positions.length), values);
    return { positions, values };
  }
}

/** What is left of a vector when a part of it has been sent; in place. */
export function subtract(vector: Float32Array, { positions, values }: Decoded): void {
  if (positions === undefined) for (let i = 0; i < vector.length; i++) vector[i] -= values[i];
  else for (let i = 0; i < positions.length; i++) vector[positions[i]] -= values[i];
}

/** The mean of vectors, summed in the order given, in double precision, rounded once. */
export function meanOfDecoded(vectors: readonly Decoded[], size: number): Float32Array {
  if (vectors.every(({ positions }) => positions === undefined))
    return meanOf(vectors.map(({ values }) => values));
  const sum = new Float64Array(size);
  for (const { positions, values } of vectors)
    for (let i = 0; i < values.length; i++)
      sum[positions === undefined ? i : positions[i]] += values[i];
  const mean = new Float32Array(size);
  for (let i = 0; i < size; i++) mean[i] = sum[i] / vectors.length;
  return mean;
}

function wholeOf(size: number): readonly Segment[] {
  return [{ offset: 0, size }];
}

function malformed(what: string, expected: string, value: unknown): PsgdError {
  const got = value === null ? "none" : typeof value;
  return new PsgdError("WIRE_MALFORMED", `${what}: expected ${expected}, got ${got}`);
}
