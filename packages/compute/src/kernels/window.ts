import type { KernelCall } from "./kernel-call.js";

/** How a window of height and width slides over images [batch, height, width, channels]. */
export interface Window {
  readonly size: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly dilations: readonly [number, number];
  /** Zeros (or nothing, in pooling) around the image: top, left, bottom, right. */
  readonly pads: readonly [number, number, number, number];
  /** Positions of the window. */
  readonly output: readonly [number, number];
}

/** Attributes of a window, besides its size. */
export const WINDOW_ATTRIBUTES = ["strides", "pad", "dimRoundingMode"] as const;

/**
 * Reads a window as TensorFlow.js lays it (`computeConv2DInfo`): `valid` stays inside of the image, `same` adds zeros so
 * that there are ceil(extent / stride) positions, the odd one at the bottom and at the right.
 * @throws {PsgdError} PLAN_INVALID
 */
export function windowOver(
  call: KernelCall,
  image: readonly number[],
  size: readonly [number, number],
): Window {
  const strides = pairOf(call, "strides");
  const dilations = call.has("dilations") ? pairOf(call, "dilations") : ([1, 1] as const);
  const isSame = call.oneOf("pad", ["same", "valid"]) === "same";
  if (size.some((extent) => extent < 1)) call.refuse(`expected a window, got [${size.join()}]`);
  if (strides.some((stride) => stride > 1) && dilations.some((dilation) => dilation > 1)) {
    call.refuse("expected strides or dilations, got both");
  }
  const along = (axis: 0 | 1): { before: number; after: number; count: number } => {
    const extent = image[axis + 1]!;
    const reach = (size[axis] - 1) * dilations[axis] + 1;
    const stride = strides[axis];
    if (!isSame) {
      return { before: 0, after: 0, count: Math.floor((extent - reach) / stride) + 1 };
    }
    const count = Math.ceil(extent / stride);
    const padding = Math.max(0, (count - 1) * stride + reach - extent);
    const before = Math.floor(padding / 2);
    return { before, after: padding - before, count };
  };
  const [vertical, horizontal] = [along(0), along(1)];
  const output = [vertical.count, horizontal.count] as const;
  if (output.some((count) => count < 1)) {
    call.refuse(`expected a window inside of [${image.join()}], got one of [${size.join()}]`);
  }
  const pads = [vertical.before, horizontal.before, vertical.after, horizontal.after] as const;
  return { size, strides, dilations, pads, output };
}

/** The window of a pooling kernel. */
export function poolWindow(call: KernelCall, image: readonly number[]): Window {
  return windowOver(call, imageShape(call, image), pairOf(call, "filterSize"));
}

/** The shape of a batch of images, which must have four axes. */
export function imageShape(call: KernelCall, shape: readonly number[]): readonly number[] {
  if (shape.length !== 4) {
    call.refuse(`expected images [batch, height, width, channels], got [${shape.join()}]`);
  }
  return shape;
}

function pairOf(call: KernelCall, attribute: string): readonly [number, number] {
  const values = call.integers(attribute);
  const [first, second = first] = values;
  if (first === undefined || second === undefined || values.length > 2 || first < 1 || second < 1) {
    return call.refuse(
      `expected one or two counts from 1 as \`${attribute}\`, got [${values.join()}]`,
    );
  }
  return [first, second];
}
