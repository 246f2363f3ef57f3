import { seededRandom, type Random } from "@psgd/core";
import { createDataset } from "../create-dataset.js";
import type { Dataset, Samples } from "../dataset.js";
import type { DatasetSource } from "./source.js";

const SIDE = 28;
const TRAIN_COUNT = 12_000;
const TEST_COUNT = 2_000;

type Point = readonly [x: number, y: number];

/** A smooth curve through its points; `closed` joins the last to the first. Two points are a straight line. */
interface Stroke {
  readonly points: readonly Point[];
  readonly closed?: true;
}

/** The ten digits in a unit square, y downwards. */
const DIGITS: readonly (readonly Stroke[])[] = [
  [
    {
      points: [
        [0.5, 0.02],
        [0.16, 0.25],
        [0.13, 0.72],
        [0.5, 0.98],
        [0.87, 0.72],
        [0.84, 0.25],
      ],
      closed: true,
    },
  ],
  [
    {
      points: [
        [0.32, 0.22],
        [0.56, 0.02],
      ],
    },
    {
      points: [
        [0.56, 0.02],
        [0.54, 0.98],
      ],
    },
  ],
  [
    {
      points: [
        [0.15, 0.26],
        [0.35, 0.04],
        [0.74, 0.08],
        [0.8, 0.35],
        [0.46, 0.68],
        [0.12, 0.96],
      ],
    },
    {
      points: [
        [0.12, 0.96],
        [0.9, 0.94],
      ],
    },
  ],
  [
    {
      points: [
        [0.15, 0.12],
        [0.5, 0.02],
        [0.82, 0.2],
        [0.7, 0.42],
        [0.42, 0.48],
      ],
    },
    {
      points: [
        [0.42, 0.48],
        [0.8, 0.6],
        [0.82, 0.85],
        [0.5, 0.99],
        [0.12, 0.88],
      ],
    },
  ],
  [
    {
      points: [
        [0.65, 0.02],
        [0.1, 0.65],
      ],
    },
    {
      points: [
        [0.1, 0.65],
        [0.92, 0.65],
      ],
    },
    {
      points: [
        [0.68, 0.35],
        [0.66, 0.99],
      ],
    },
  ],
  [
    {
      points: [
        [0.82, 0.04],
        [0.25, 0.05],
      ],
    },
    {
      points: [
        [0.25, 0.05],
        [0.18, 0.45],
      ],
    },
    {
      points: [
        [0.18, 0.45],
        [0.55, 0.36],
        [0.86, 0.6],
        [0.7, 0.93],
        [0.38, 0.99],
        [0.1, 0.88],
      ],
    },
  ],
  [
    {
      points: [
        [0.75, 0.03],
        [0.35, 0.3],
        [0.15, 0.7],
        [0.4, 0.98],
        [0.8, 0.85],
        [0.78, 0.58],
        [0.45, 0.5],
        [0.18, 0.7],
      ],
    },
  ],
  [
    {
      points: [
        [0.1, 0.06],
        [0.88, 0.05],
      ],
    },
    {
      points: [
        [0.88, 0.05],
        [0.6, 0.45],
        [0.4, 0.98],
      ],
    },
  ],
  [
    {
      points: [
        [0.5, 0.48],
        [0.2, 0.25],
        [0.5, 0.02],
        [0.8, 0.25],
        [0.5, 0.48],
        [0.15, 0.75],
        [0.5, 0.99],
        [0.85, 0.75],
      ],
      closed: true,
    },
  ],
  [
    {
      points: [
        [0.8, 0.3],
        [0.5, 0.05],
        [0.2, 0.25],
        [0.4, 0.52],
        [0.75, 0.42],
      ],
      closed: true,
    },
    {
      points: [
        [0.82, 0.22],
        [0.78, 0.6],
        [0.55, 0.98],
      ],
    },
  ],
];

/** Straight pieces per span of a curve. */
const PIECES_PER_SPAN = 4;
/** How far a point of a stroke may stray, in the unit square. */
const WOBBLE = 0.07;
/** Largest half-angle tangent of the rotation: tan(θ/2) = 0.14 is 16 degrees. */
const MAX_HALF_TANGENT = 0.14;
const MAX_SHEAR = 0.25;
const MAX_SHIFT_PIXELS = 2.5;
const STROKE_RADIUS_PIXELS = [0.6, 1.7] as const;
const INK = [150, 255] as const;
/** Bytes that noise adds to or takes from a pixel at most. */
const NOISE = 40;

/**
 * Digits drawn by this program, in the form of MNIST, for machines without it: strokes that wobble, distorted by a
 * random affine map, drawn with pens of different width and ink, with noise on top.
 *
 * Only + - * / and square roots are used, which IEEE 754 defines exactly: a seed gives the same bytes on every machine.
 */
export const digits: DatasetSource = {
  description:
    "synthetic digits drawn from a seed, no download: 12,000 + 2,000 images, 28 x 28 pixels, 10 classes (not MNIST)",
  load: async ({ seed = 0 }) => generateDigits(seed),
};

export function generateDigits(
  seed: number | string,
  trainCount: number = TRAIN_COUNT,
  testCount: number = TEST_COUNT,
): Dataset {
  const random = seededRandom(seed).fork("digits");
  return createDataset({
    name: "digits",
    task: "classification",
    inputShape: [SIDE, SIDE],
    outputSize: DIGITS.length,
    train: drawSamples(trainCount, random.fork("train")),
    test: drawSamples(testCount, random.fork("test")),
    synthetic: true,
  });
}

function drawSamples(count: number, random: Random): Samples {
  const inputs = new Uint8Array(count * SIDE * SIDE);
  const targets = new Uint8Array(count);
  const coverage = new Float64Array(SIDE * SIDE);
  for (let row = 0; row < count; row++) {
    const label = Math.floor(random.float() * DIGITS.length);
    targets[row] = label;
    coverage.fill(0);
    const place = randomPlacement(random);
    const radius = between(STROKE_RADIUS_PIXELS, random);
    for (const stroke of DIGITS[label]!) drawStroke(coverage, stroke, place, radius, random);
    const ink = between(INK, random);
    const image = inputs.subarray(row * SIDE * SIDE, (row + 1) * SIDE * SIDE);
    for (let pixel = 0; pixel < image.length; pixel++) {
      const value = coverage[pixel]! * ink + (2 * random.float() - 1) * NOISE;
      image[pixel] = Math.max(0, Math.min(255, Math.floor(value)));
    }
  }
  return { count, inputs, targets };
}

/** A random map from the unit square to pixels. */
function randomPlacement(random: Random): (point: Point) => Point {
  const width = between([11, 18], random);
  const height = between([15, 21], random);
  const shear = signed(random) * MAX_SHEAR;
  const shiftX = signed(random) * MAX_SHIFT_PIXELS;
  const shiftY = signed(random) * MAX_SHIFT_PIXELS;
  // Sine and cosine from the tangent of the half angle: exact arithmetic on every machine.
  const tangent = signed(random) * MAX_HALF_TANGENT;
  const cosine = (1 - tangent * tangent) / (1 + tangent * tangent);
  const sine = (2 * tangent) / (1 + tangent * tangent);
  return ([unitX, unitY]) => {
    const y = (unitY - 0.5) * height;
    const x = (unitX - 0.5) * width - shear * y;
    return [SIDE / 2 + shiftX + cosine * x - sine * y, SIDE / 2 + shiftY + sine * x + cosine * y];
  };
}

function drawStroke(
  coverage: Float64Array,
  { points, closed }: Stroke,
  place: (point: Point) => Point,
  radius: number,
  random: Random,
): void {
  const path = points.map(([x, y]) =>
    place([x + signed(random) * WOBBLE, y + signed(random) * WOBBLE]),
  );
  // A spline needs a neighbour beyond each end: the other end if the curve is closed, else the end itself.
  const at = (index: number): Point =>
    closed === true
      ? path[(index + path.length) % path.length]!
      : path[Math.max(0, Math.min(path.length - 1, index))]!;
  const spanCount = closed === true ? path.length : path.length - 1;
  const pieceCount = path.length === 2 ? 1 : PIECES_PER_SPAN;
  for (let span = 0; span < spanCount; span++) {
    let from = at(span);
    for (let piece = 1; piece <= pieceCount; piece++) {
      const to = splinePoint(
        [at(span - 1), at(span), at(span + 1), at(span + 2)],
        piece / pieceCount,
      );
      drawSegment(coverage, from, to, radius);
      from = to;
    }
  }
}

/** Catmull–Rom spline between the middle two of four points. */
function splinePoint([a, b, c, d]: readonly [Point, Point, Point, Point], t: number): Point {
  const along = (axis: 0 | 1): number =>
    0.5 *
    (2 * b[axis] +
      t *
        (c[axis] -
          a[axis] +
          t *
            (2 * a[axis] -
              5 * b[axis] +
              4 * c[axis] -
              d[axis] +
              t * (3 * b[axis] - a[axis] - 3 * c[axis] + d[axis]))));
  return [along(0), along(1)];
}

/** Draws a line with round ends; a pixel's coverage falls from 1 to 0 over one pixel at the edge. */
function drawSegment(
  coverage: Float64Array,
  [x0, y0]: Point,
  [x1, y1]: Point,
  radius: number,
): void {
  const reach = radius + 0.5;
  const left = Math.max(0, Math.ceil(Math.min(x0, x1) - reach));
  const right = Math.min(SIDE - 1, Math.floor(Math.max(x0, x1) + reach));
  const top = Math.max(0, Math.ceil(Math.min(y0, y1) - reach));
  const bottom = Math.min(SIDE - 1, Math.floor(Math.max(y0, y1) + reach));
  const dx = x1 - x0;
  const dy = y1 - y0;
  const squaredLength = dx * dx + dy * dy;
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const projection = (x - x0) * dx + (y - y0) * dy;
      const t = projection <= 0 ? 0 : projection >= squaredLength ? 1 : projection / squaredLength;
      const awayX = x - x0 - t * dx;
      const awayY = y - y0 - t * dy;
      const covered = Math.min(1, reach - Math.sqrt(awayX * awayX + awayY * awayY));
      const pixel = y * SIDE + x;
      if (covered > coverage[pixel]!) coverage[pixel] = covered;
    }
  }
}

function between([low, high]: readonly [number, number], random: Random): number {
  return low + (high - low) * random.float();
}

/** Uniform over [-1, 1). */
function signed(random: Random): number {
  return 2 * random.float() - 1;
}
