import { PsgdError } from "@psgd/core";
import type { BitReader, BitWriter } from "./bits.js";

/**
 * Elias omega: a whole number from 1, below 2³¹, in about log₂ n + log₂ log₂ n + … bits, so that small ones are short (Elias
 * 1975; the code of Alistarh et al. 2017, section 3.2).
 */
export function writeElias(value: number, out: BitWriter): void {
  const groups: (readonly [number, number])[] = [];
  for (let rest = value; rest > 1;) {
    const width = 32 - Math.clz32(rest);
    groups.push([rest, width]);
    rest = width - 1;
  }
  for (const [group, width] of groups.reverse()) {
    // Its top bit comes first and says that a group follows.
    out.write(1, 1);
    // In two parts: at once at most 24 bits are written.
    const low = Math.min(width - 1, 16);
    out.write(group & (2 ** low - 1), low);
    out.write((group & (2 ** (width - 1) - 1)) >>> low, width - 1 - low);
  }
  out.write(0, 1);
}

/** @throws {PsgdError} WIRE_MALFORMED if it is longer than any that is written */
export function readElias(bits: BitReader): number {
  let value = 1;
  while (bits.read(1) === 1) {
    if (value > 30)
      throw new PsgdError("WIRE_MALFORMED", "Elias code: expected at most 31 bits, got more");
    const low = Math.min(value, 16);
    value = 2 ** value + bits.read(low) + 2 ** low * bits.read(value - low);
  }
  return value;
}
