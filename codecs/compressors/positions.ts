import { PsgdError } from "@psgd/core";
import { BitReader, BitWriter } from "./bits.js";

/** A longer quotient is written out, so that no row of positions makes the code long. */
const LONGEST_QUOTIENT = 16;

/**
 * Ascending positions as the ways between them, each a quotient in ones and a remainder of `width` bits: Golomb's code
 * with powers of two (Rice 1979), which for positions at random needs about log₂(d / k) + 1.6 bits each.
 *
 * @param positions - ascending, at least one, all below `size`
 */
export function encodePositions(positions: Uint32Array, size: number): Uint8Array {
  const width = widthFor(positions.length, size);
  const out = new BitWriter(8 + (positions.length * (width + 3)) / 8);
  writeWord(positions.length, out);
  let next = 0;
  for (const position of positions) {
    const gap = position - next;
    const quotient = gap >>> width;
    if (quotient < LONGEST_QUOTIENT) {
      out.write((1 << quotient) - 1, quotient + 1);
      out.write(gap & ((1 << width) - 1), width);
    } else {
      out.write((1 << LONGEST_QUOTIENT) - 1, LONGEST_QUOTIENT);
      writeWord(gap, out);
    }
    next = position + 1;
  }
  return out.finish();
}

/**
 * @returns positions below `size`, ascending, at least one
 * @throws {PsgdError} WIRE_MALFORMED
 */
export function decodePositions(bytes: Uint8Array, size: number): Uint32Array {
  const bits = new BitReader(bytes);
  const count = readWord(bits);
  if (count === 0 || count > size)
    throw new PsgdError("WIRE_MALFORMED", `positions: expected 1 to ${size}, got ${count}`);
  const width = widthFor(count, size);
  const positions = new Uint32Array(count);
  let next = 0;
  for (let i = 0; i < count; i++) {
    const quotient = bits.readOnes(LONGEST_QUOTIENT);
    const gap =
      quotient < LONGEST_QUOTIENT ? (quotient << width) + bits.read(width) : readWord(bits);
    if (next + gap >= size)
      throw new PsgdError(
        "WIRE_MALFORMED",
        `position: expected one below ${size}, got ${next + gap}`,
      );
    positions[i] = next + gap;
    next = positions[i] + 1;
  }
  bits.requireEnd();
  return positions;
}

/** Best for ways at random: about log₂ of 0.69 times their mean (Kiely 2004, section III). */
function widthFor(count: number, size: number): number {
  return Math.min(24, Math.max(0, Math.round(Math.log2((0.69 * size) / count))));
}

function writeWord(value: number, out: BitWriter): void {
  out.write(value & 0xffff, 16);
  out.write(value >>> 16, 16);
}

function readWord(bits: BitReader): number {
  return bits.read(16) + bits.read(16) * 2 ** 16;
}
