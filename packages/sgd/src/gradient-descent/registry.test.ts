import { isPsgdError, seededRandom } from "@psgd/core";
import { describe, expect, it } from "vitest";
import { GRADIENT_DESCENTS, type GradientDescentName } from "./registry.js";

const NAMES = Object.keys(GRADIENT_DESCENTS) as GradientDescentName[];
const STEP_COUNT = 60;

/** All gradients of one element up to step t, oldest first, to the step that the paper takes at t. */
type Oracle = (gradients: readonly number[], rate: number) => number;

/** Σ decay^(t − i) · term(gᵢ): an exponential average written out (Kingma & Ba 2015, section 3), not as a recurrence. */
const discounted = (g: readonly number[], decay: number, term: (g: number) => number): number =>
  g.reduce((sum, value, i) => sum + decay ** (g.length - 1 - i) * term(value), 0);
const square = (g: number): number => g * g;
const last = (g: readonly number[]): number => g[g.length - 1]!;

const ORACLES: Record<GradientDescentName, Oracle> = {
  sgd: (g, rate) => rate * last(g),
  gradient_decay: (g, rate) => (rate * last(g)) / Math.sqrt(g.length),
  momentum: (g, rate) => discounted(g, 0.9, (value) => rate * value),
  adagrad: (g, rate) => (rate * last(g)) / (Math.sqrt(discounted(g, 1, square)) + 1e-8),
  rmsprop: (g, rate) => (rate * last(g)) / (Math.sqrt(0.1 * discounted(g, 0.9, square)) + 1e-8),
  adam: (g, rate) => {
    const t = g.length;
    const m = ((1 - 0.9) * discounted(g, 0.9, (value) => value)) / (1 - 0.9 ** t);
    const v = ((1 - 0.999) * discounted(g, 0.999, square)) / (1 - 0.999 ** t);
    return (rate * m) / (Math.sqrt(v) + 1e-8);
  },
  // Zeiler 2012, Algorithm 1, from the first gradient on at every call.
  adadelta: (g, rate) => {
    let [gradientSquare, deltaSquare, delta] = [0, 0, 0];
    for (const value of g) {
      gradientSquare = 0.95 * gradientSquare + 0.05 * value ** 2;
      delta = (Math.sqrt(deltaSquare + 1e-6) / Math.sqrt(gradientSquare + 1e-6)) * value;
      deltaSquare = 0.95 * deltaSquare + 0.05 * delta ** 2;
    }
    return rate * delta;
  },
};

/** Gradients of STEP_COUNT steps: elements of very different size, one always zero, one zero at first. */
function gradientsOf(seed: number): Float32Array[] {
  const random = seededRandom(seed);
  return Array.from({ length: STEP_COUNT }, (_, step) =>
    Float32Array.from([1, 1e-3, 1e3, 0, step < 10 ? 0 : 1], (scale) => scale * random.normal()),
  );
}

describe.each(NAMES)("gradient descent %s", (name) => {
  const rule = GRADIENT_DESCENTS[name];
  const gradients = gradientsOf(7);
  const size = gradients[0]!.length;

  it("takes the steps of its paper, in place", () => {
    const descent = rule.create(size, 0.02);
    for (const [step, gradient] of gradients.entries()) {
      const delta = gradient.slice();
      descent.delta(delta);
      for (let i = 0; i < size; i++) {
        const history = gradients.slice(0, step + 1).map((g) => g[i]!);
        const expected = ORACLES[name](history, 0.02);
        // The memory is single precision: a relative error of 2⁻²⁴ enters at each step and decays with it; sums of
        // opposite signs (momentum, adam) may cancel, so the bound also has an absolute part of the element's scale.
        const scale = Math.max(Math.abs(expected), 0.02 * Math.max(...history.map(Math.abs)));
        expect(
          Math.abs(delta[i]! - expected),
          `seed 7, step ${step}, element ${i}`,
        ).toBeLessThanOrEqual(3e-6 * scale);
      }
    }
  });

  it("goes on from a saved state bit for bit, whatever happens to the original", () => {
    const original = rule.create(size, 0.02);
    for (const gradient of gradients.slice(0, 30)) original.delta(gradient.slice());
    const resumed = rule.create(size, 0.02);
    const state = original.exportState();
    const expected = gradients.slice(30).map((gradient) => {
      const delta = gradient.slice();
      original.delta(delta);
      return delta;
    });
    resumed.importState(state);
    expect(
      gradients.slice(30).map((gradient) => {
        const delta = gradient.slice();
        resumed.delta(delta);
        return delta;
      }),
    ).toEqual(expected);
    expect(resumed.learningRate).toBe(original.learningRate);
  });

  it("leaves a gradient of zeros at zero, without NaN", () => {
    const descent = rule.create(3, rule.defaultLearningRate);
    for (let step = 0; step < 3; step++) {
      const gradient = new Float32Array(3);
      descent.delta(gradient);
      expect([...gradient]).toEqual([0, 0, 0]);
    }
  });
});

describe("the gradient descents", () => {
  it("have the default learning rates of the original", () => {
    const rates = Object.fromEntries(
      NAMES.map((name) => [name, GRADIENT_DESCENTS[name].defaultLearningRate]),
    );
    expect(rates).toEqual({
      sgd: 0.05,
      momentum: 0.05,
      adam: 1e-3,
      rmsprop: 0.01,
      adagrad: 0.01,
      adadelta: 1,
      gradient_decay: 0.03,
    });
  });

  it("take a first Adam step of the learning rate against the sign of the gradient", () => {
    const gradient = Float32Array.of(5, -0.25, 1e-3);
    GRADIENT_DESCENTS.adam.create(3, 0.001).delta(gradient);
    expect(gradient[0]).toBeCloseTo(0.001, 9);
    expect(gradient[1]).toBeCloseTo(-0.001, 9);
    expect(gradient[2]).toBeCloseTo(0.001, 7);
  });

  it("say the learning rate of the step just taken", () => {
    const descent = GRADIENT_DESCENTS.gradient_decay.create(1, 0.03);
    expect(descent.learningRate).toBe(0.03);
    for (let step = 0; step < 4; step++) descent.delta(new Float32Array(1));
    expect(descent.learningRate).toBe(0.03 / 2);
    expect(GRADIENT_DESCENTS.adam.create(1, 0.5).learningRate).toBe(0.5);
  });

  it.each([
    ["momentum", { velocity: new Float32Array(2) }, "`velocity` of the state of momentum"],
    ["adam", { mean: new Float32Array(3) }, "`square`"],
    [
      "adam",
      { mean: new Float32Array(3), square: new Float32Array(3), beta2Power: 1 },
      "`beta1Power`",
    ],
    ["gradient_decay", undefined, "`stepCount`"],
    ["rmsprop", { square: [1, 2, 3] }, "expected 3 values, got object"],
  ] as const)("refuse a saved state that is not theirs: %s", (name, state, text) => {
    const descent = GRADIENT_DESCENTS[name].create(3, 0.1);
    const attempt = (): void => descent.importState(state);
    expect(attempt).toThrow(text);
    expect(attempt).toThrow(/^SHAPE_MISMATCH: /);
    try {
      attempt();
    } catch (error) {
      expect(isPsgdError(error, "SHAPE_MISMATCH")).toBe(true);
    }
  });
});
