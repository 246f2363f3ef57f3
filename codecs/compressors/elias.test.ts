import { expect, it } from "vitest";
import { BitReader, BitWriter } from "./bits.js";
import { readElias, writeElias } from "./elias.js";

// Elias 1975, table II: groups of one bit more than the next smaller one says, and a 0.
it.each([
  [1, 1],
  [2, 3],
  [3, 3],
  [4, 6],
  [7, 6],
  [8, 7],
  [16, 11],
  [100, 13],
  [2 ** 25 - 1, 36],
  [2 ** 25, 37],
  [2 ** 26 + 12345, 38],
  [2 ** 31 - 1, 42],
])("writes %i in %i bits, wherever in a byte it begins", (value, bitCount) => {
  for (let before = 0; before < 8; before++) {
    const out = new BitWriter(0);
    out.write(0, before);
    writeElias(value, out);
    writeElias(5, out);
    const bytes = out.finish();
    expect(bytes.length).toBe(Math.ceil((before + bitCount + 6) / 8));
    const bits = new BitReader(bytes);
    bits.read(before);
    expect([readElias(bits), readElias(bits)]).toEqual([value, 5]);
  }
});

it("refuses what is longer than any count", () => {
  const out = new BitWriter(0);
  for (const [group, width] of [
    [0, 1],
    [0, 2],
    [0, 4],
    [2 ** 16 - 1, 16],
  ] as const) {
    out.write(1, 1);
    out.write(group, width);
  }
  out.write(1, 1);
  expect(() => readElias(new BitReader(out.finish()))).toThrow(
    "Elias code: expected at most 31 bits",
  );
});
