import { seededRandom } from "@psgd/core";
import { describe, expect, it } from "vitest";
import type { Quantizer, Segment } from "./compressor.js";
import { bf16, float32, fp16, oneBit, qsgd, quantize, scaledSign, ternary } from "./index.js";

const SEED = 11;

function gaussian(size: number, label = ""): Float32Array {
  const random = seededRandom(`${SEED}/${label}`);
  return Float32Array.from({ length: size }, () => random.normal());
}

function whole(size: number): readonly Segment[] {
  return [{ offset: 0, size }];
}

function roundTrip(
  quantizer: Quantizer,
  values: Float32Array,
  { segments = whole(values.length), seed = "draws" } = {},
): Float32Array {
  const bytes = quantizer.encode(values, segments, seededRandom(seed));
  const decoded = new Float32Array(values.length);
  quantizer.decode(bytes, segments, decoded);
  return decoded;
}

const ALL: readonly (readonly [Quantizer, (size: number) => number])[] = [
  [float32(), (d) => 4 * d],
  [fp16(), (d) => 2 * d],
  [bf16(), (d) => 2 * d],
  [quantize(8), (d) => 4 * Math.ceil(d / 512) + d],
  [quantize(4), (d) => 4 * Math.ceil(d / 512) + Math.ceil(d / 2)],
  [quantize(2), (d) => 4 * Math.ceil(d / 512) + Math.ceil(d / 4)],
  [qsgd({ bits: 8 }), (d) => 4 * Math.ceil(d / 512) + d],
  [qsgd({ bits: 4, bucket: 16384 }), (d) => 4 * Math.ceil(d / 16384) + Math.ceil(d / 2)],
  [qsgd({ bits: 2, bucket: 64 }), (d) => 4 * Math.ceil(d / 64) + Math.ceil(d / 4)],
  [ternary(), (d) => 4 + Math.ceil(d / 5)],
  [scaledSign(), (d) => 4 + Math.ceil(d / 8)],
  [oneBit(), (d) => 8 + Math.ceil(d / 8)],
];

describe.each(ALL)("$name", (quantizer, bytesOf) => {
  it.each([1, 2, 7, 16, 17, 513, 16384, 40001])(
    "sends the bytes its header says, of %i values",
    (size) => {
      const bytes = quantizer.encode(gaussian(size), whole(size), seededRandom(1));
      expect(bytes.length).toBe(bytesOf(size));
    },
  );

  it("leaves its input alone, and repeats from its seed", () => {
    const values = gaussian(1000);
    const before = values.slice();
    expect(roundTrip(quantizer, values)).toEqual(roundTrip(quantizer, values));
    expect(values).toEqual(before);
  });

  it("keeps zeros", () => {
    for (const value of roundTrip(quantizer, new Float32Array(100)))
      expect(Math.abs(value)).toBe(0);
  });

  it("keeps zeros beside values next to the smallest", () => {
    const values = new Float32Array(100);
    values[0] = 1e-40;
    for (const value of roundTrip(quantizer, values).subarray(1))
      expect(Math.abs(value)).toBeLessThan(2e-42);
  });

  it("does not let what one call left in memory into another", () => {
    const values = gaussian(33);
    const expected = roundTrip(quantizer, values);
    roundTrip(
      quantizer,
      gaussian(16384).map((value) => 1e9 * value),
    );
    expect(roundTrip(quantizer, values)).toEqual(expected);
  });

  it("takes values that do not begin at the beginning of their buffer", () => {
    const values = gaussian(1001);
    expect(roundTrip(quantizer, values.subarray(1))).toEqual(roundTrip(quantizer, values.slice(1)));
  });

  it("refuses more or fewer bytes", () => {
    const bytes = quantizer.encode(gaussian(100), whole(100), seededRandom(1));
    for (const wrong of [bytes.subarray(1), new Uint8Array(bytes.length + 1), new Uint8Array(0)])
      expect(() => quantizer.decode(wrong, whole(100), new Float32Array(100))).toThrow(
        "WIRE_MALFORMED",
      );
  });
});

describe.each(ALL.filter(([{ name }]) => !/float32|16/.test(name)))("$name", (quantizer) => {
  it("refuses scales that are not finite", () => {
    const bytes = quantizer.encode(gaussian(100), whole(100), seededRandom(1));
    new DataView(bytes.buffer).setFloat32(0, NaN, true);
    expect(() => quantizer.decode(bytes, whole(100), new Float32Array(100))).toThrow(
      "expected a finite number",
    );
  });
});

describe("half precision", () => {
  // IEEE 754-2019, table 3.5 and section 4.3.1; the same numbers in every textbook.
  it.each([
    [1, 1],
    [-2, -2],
    [65504, 65504],
    [1e6, 65504],
    [-1e30, -65504],
    [2 ** -24, 2 ** -24],
    [2 ** -25, 0],
    [1.5 * 2 ** -24, 2 ** -23],
    [2 ** -14, 2 ** -14],
    [1 + 2 ** -11, 1],
    [1 + 3 * 2 ** -11, 1 + 2 ** -9],
    [1 + 2 ** -11 + 2 ** -20, 1 + 2 ** -10],
    [2 ** -14 - 2 ** -26, 2 ** -14],
  ])("writes %d as %d in fp16", (value, expected) => {
    expect(roundTrip(fp16(), Float32Array.of(value))[0]).toBe(expected);
  });

  // Exponents and fractions as the standard encodes them; the smallest exponent is that of the numbers below it, too.
  describe.each([
    { quantizer: fp16(), fractionBits: 10, least: -14, largest: 0x7bff },
    { quantizer: bf16(), fractionBits: 7, least: -126, largest: 0x7f7f },
  ])("of $quantizer.name", ({ quantizer, fractionBits, least, largest }) => {
    const valueOf = (half: number): number => {
      const magnitude = half & 0x7fff;
      const fraction = magnitude % 2 ** fractionBits;
      const exponent = magnitude >> fractionBits;
      const sign = half >> 15 === 1 ? -1 : 1;
      if (magnitude > largest) return fraction === 0 ? sign * Infinity : NaN;
      const unit = 2 ** (Math.max(exponent, 1) - 1 + least - fractionBits);
      return sign * unit * (fraction + (exponent === 0 ? 0 : 2 ** fractionBits));
    };

    const halfOf = (bits: number, value: number): number => {
      const exponent = Math.max(((bits >>> 23) & 255) - 127, least);
      const units = Math.abs(value) / 2 ** (exponent - fractionBits);
      const below = Math.floor(units);
      const isUp = units - below > 0.5 || (units - below === 0.5 && below % 2 === 1);
      const magnitude = (exponent - least) * 2 ** fractionBits + below + Number(isUp);
      return (bits >>> 31) * 0x8000 + (magnitude < largest ? magnitude : largest);
    };

    it("reads all 65536", () => {
      const halves = Uint16Array.from({ length: 65536 }, (_, half) => half);
      const values = new Float32Array(halves.length);
      quantizer.decode(new Uint8Array(halves.buffer), [], values);
      for (const half of halves)
        if (!Object.is(values[half], valueOf(half))) expect.fail(`${half} became ${values[half]}`);
    });

    it.each([0, 1, 0xfff, 0x1000, 0x1001, 0x1fff, 0x3000, 0x7000, 0x7fff, 0x8000, 0x8001, 0xffff])(
      "writes numbers of any upper half over %i",
      (lower) => {
        const bits = Uint32Array.from({ length: 65536 }, (_, upper) => 65536 * upper + lower);
        const values = new Float32Array(bits.buffer);
        const halves = new Uint16Array(quantizer.encode(values, [], seededRandom(1)).buffer);
        for (const [i, half] of halves.entries())
          if (half !== halfOf(bits[i], values[i])) expect.fail(`bits ${bits[i]} became ${half}`);
      },
    );
  });

  it("is never more than half a unit of bf16 away", () => {
    for (const value of gaussian(1000)) {
      const decoded = roundTrip(bf16(), Float32Array.of(value))[0];
      const unit = 2 ** (Math.floor(Math.log2(Math.abs(value))) - 7);
      expect(Math.abs(decoded - value), `${value}`).toBeLessThanOrEqual(unit / 2);
    }
  });

  it("rounds halves to even, and does not round to infinity, in bf16", () => {
    expect(roundTrip(bf16(), Float32Array.of(1 + 2 ** -8))[0]).toBe(1);
    expect(roundTrip(bf16(), Float32Array.of(1 + 3 * 2 ** -8))[0]).toBe(1 + 2 ** -6);
    expect(roundTrip(bf16(), Float32Array.of(3.4e38))[0]).toBeLessThan(Infinity);
  });
});

describe("quantize", () => {
  it.each([2, 4, 8])("rounds to the nearest multiple of its scale, with %i bits", (bits) => {
    const values = gaussian(1030);
    const decoded = roundTrip(quantize(bits), values);
    const levels = 2 ** (bits - 1) - 1;
    for (let start = 0; start < values.length; start += 512) {
      const bucket = values.subarray(start, start + 512);
      const scale = Math.max(...bucket.map(Math.abs)) / levels;
      for (const [i, value] of bucket.entries()) {
        expect(Math.abs(decoded[start + i] - value)).toBeLessThanOrEqual(scale / 2 + 1e-5);
        const level = decoded[start + i] / scale;
        expect(Math.abs(level - Math.round(level))).toBeLessThan(1e-5);
      }
    }
  });

  it.each([0, 1, 3, 16, NaN])("refuses %d bits", (bits) => {
    expect(() => quantize(bits)).toThrow("expected 2, 4 or 8");
  });
});

describe("QSGD", () => {
  const values = gaussian(64, "qsgd");

  it.each([
    ["max", 2],
    ["max", 4],
    ["max", 8],
    ["l2", 2],
    ["l2", 4],
  ] as const)(
    "is right on average and has the variance of its levels: %s, %i bits",
    (norm, bits) => {
      const trials = 4000;
      const quantizer = qsgd({ bits, norm, bucket: 64 });
      const levels = 2 ** (bits - 1) - 1;
      const measure =
        norm === "max"
          ? Math.max(...values.map(Math.abs))
          : Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0));
      const sums = new Float64Array(64);
      const squares = new Float64Array(64);
      for (let trial = 0; trial < trials; trial++) {
        const decoded = roundTrip(quantizer, values, { seed: `${SEED}/${trial}` });
        for (const [i, value] of decoded.entries()) {
          sums[i] += value - values[i];
          squares[i] += (value - values[i]) ** 2;
        }
      }
      const unit = measure / levels;
      for (const [i, value] of values.entries()) {
        // Of a level l + p the variance is p (1 − p) units².
        const part = Math.abs(value) / unit - Math.floor(Math.abs(value) / unit);
        const variance = unit ** 2 * part * (1 - part);
        expect(Math.abs(sums[i] / trials), `mean of ${value}`).toBeLessThan(
          4.5 * Math.sqrt(variance / trials) + 1e-6,
        );
        const spread = 5 * Math.sqrt((unit ** 4 * part * (1 - part)) / trials);
        expect(Math.abs(squares[i] / trials - variance), `variance of ${value}`).toBeLessThan(
          spread + 1e-6,
        );
      }
    },
  );

  it("draws each value by itself", () => {
    // Values half way between two levels: neighbours, and those 4, 8 and 16 apart, must not go together.
    const count = 16384;
    const halves = new Float32Array(count).fill(0.5);
    halves[0] = 1;
    const ups = roundTrip(qsgd({ bits: 2, bucket: 16384 }), halves);
    for (const lag of [1, 2, 3, 4, 5, 8, 16, 32, 64, 512]) {
      let together = 0;
      for (let i = 1; i + lag < count; i++) together += (ups[i] - 0.5) * (ups[i + lag] - 0.5) * 4;
      // The mean of ±1 over n: 4.5 standard deviations.
      expect(Math.abs(together / count), `lag ${lag}`).toBeLessThan(4.5 / Math.sqrt(count));
    }
  });

  it.each([2, 4, 8])("is the same with Elias codes, %i bits", (bits) => {
    for (const size of [1, 100, 1000, 20000]) {
      const many = gaussian(size);
      expect(roundTrip(qsgd({ bits, norm: "l2", coding: "elias" }), many)).toEqual(
        roundTrip(qsgd({ bits, norm: "l2" }), many),
      );
    }
  });

  it("needs about √d (log d + O(1)) bits with one level, as the paper says", () => {
    const size = 16384;
    const quantizer = qsgd({ bits: 2, norm: "l2", bucket: size, coding: "elias" });
    const bytes = quantizer.encode(gaussian(size), whole(size), seededRandom(SEED));
    // Theorem 3.2 expects at most s² + √d values besides 0, s = 1; each costs a way, a sign and a 1.
    const expected = Math.sqrt(size) * (Math.log2(size) + 8);
    expect(8 * bytes.length).toBeLessThan(expected);
  });

  it("refuses Elias codes that nobody writes", () => {
    const quantizer = qsgd({ bits: 4, norm: "l2", coding: "elias" });
    const random = seededRandom("hostile");
    let refused = 0;
    for (let trial = 0; trial < 300; trial++) {
      const bytes = Uint8Array.from({ length: 4 + trial }, () => random.uint32() & 255);
      new DataView(bytes.buffer).setFloat32(0, 1, true);
      const decoded = new Float32Array(100);
      try {
        quantizer.decode(bytes, whole(100), decoded);
      } catch (error) {
        expect(String(error)).toContain("WIRE_MALFORMED");
        refused++;
      }
      for (const value of decoded) expect(Math.abs(value)).toBeLessThanOrEqual(1);
    }
    expect(refused).toBeGreaterThan(290);
  });

  it.each([0, 8, 100, 32768])("refuses a bucket of %d", (bucket) => {
    expect(() => qsgd({ bits: 4, bucket })).toThrow("expected a power of two from 16 to 16384");
  });
});

describe("ternary", () => {
  it("gives −s, 0 and s of each tensor, right on average but for what is clipped", () => {
    const values = gaussian(50, "ternary");
    const segments = [
      { offset: 0, size: 30 },
      { offset: 30, size: 20 },
    ];
    const trials = 4000;
    const sums = new Float64Array(50);
    for (let trial = 0; trial < trials; trial++) {
      const decoded = roundTrip(ternary(0), values, { segments, seed: `${trial}` });
      for (const [i, value] of decoded.entries()) sums[i] += value;
    }
    for (const { offset, size } of segments) {
      const scale = Math.max(...values.subarray(offset, offset + size).map(Math.abs));
      for (let i = offset; i < offset + size; i++) {
        const chance = Math.abs(values[i]) / scale;
        const deviation = scale * Math.sqrt((chance * (1 - chance)) / trials);
        expect(Math.abs(sums[i] / trials - values[i])).toBeLessThan(4.5 * deviation + 1e-6);
      }
    }
  });

  it("clips at 2.5 standard deviations", () => {
    // 99 zeros and a one: the deviation is √(0.01 · 0.99).
    const values = new Float32Array(100);
    values[7] = 1;
    const bytes = ternary().encode(values, whole(100), seededRandom(1));
    const scale = new DataView(bytes.buffer).getFloat32(0, true);
    expect(scale).toBeCloseTo(2.5 * Math.sqrt(0.01 * 0.99), 6);
  });
});

describe("signs", () => {
  const segments = [
    { offset: 0, size: 13 },
    { offset: 13, size: 1 },
    { offset: 14, size: 20000 },
  ];
  const values = gaussian(20014, "signs");

  it("have the mean magnitude of their tensor", () => {
    const decoded = roundTrip(scaledSign(), values, { segments });
    for (const { offset, size } of segments) {
      const tensor = values.subarray(offset, offset + size);
      const scale = tensor.reduce((sum, value) => sum + Math.abs(value), 0) / size;
      for (let i = offset; i < offset + size; i++) {
        expect(Math.abs(decoded[i] - Math.sign(values[i]) * scale)).toBeLessThan(1e-6);
      }
    }
  });

  it("have the means of the negative and of the other values with oneBit", () => {
    const decoded = roundTrip(oneBit(), values, { segments });
    for (const { offset, size } of segments) {
      const tensor = [...values.subarray(offset, offset + size)];
      for (const side of [-1, 1]) {
        const ofSide = tensor.filter((value) => Math.sign(value) === side);
        const mean = ofSide.reduce((sum, value) => sum + value, 0) / ofSide.length;
        for (let i = offset; i < offset + size; i++)
          if (Math.sign(values[i]) === side) expect(Math.abs(decoded[i] - mean)).toBeLessThan(1e-5);
      }
    }
  });

  it("contract as section 4 of the EF-signSGD paper says: ‖x − C(x)‖² = (1 − ‖x‖₁² / (d ‖x‖₂²)) ‖x‖²", () => {
    const decoded = roundTrip(scaledSign(), values);
    const square = values.reduce((sum, value) => sum + value ** 2, 0);
    const magnitudes = values.reduce((sum, value) => sum + Math.abs(value), 0);
    const error = values.reduce((sum, value, i) => sum + (value - decoded[i]) ** 2, 0);
    expect(error / square).toBeCloseTo(1 - magnitudes ** 2 / (values.length * square), 5);
  });
});
