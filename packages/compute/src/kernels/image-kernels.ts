import type { PlanDType, PlanValue } from "@psgd/core";
import { ACTIVATION_ATTRIBUTES, fusedActivation } from "./fused-activation.js";
import { elementCount, sameShape, type KernelCall } from "./kernel-call.js";
import type { KernelSignature } from "./kernel-signature.js";
import { WINDOW_ATTRIBUTES, imageShape, poolWindow, windowOver, type Window } from "./window.js";

const FLOAT: readonly PlanDType[] = ["float32"];
const CONVOLUTION = [...WINDOW_ATTRIBUTES, "dataFormat", "dilations"];

/** A convolution: images [n, h, w, c] and a filter [h, w, c, o], or [h, w, c, m] of a depthwise one. */
export interface Convolution {
  readonly image: readonly number[];
  readonly filter: readonly number[];
  readonly window: Window;
  readonly output: readonly number[];
}

/**
 * Reads a convolution from its kernel call, or from that of one of its gradients.
 * @throws {PsgdError} PLAN_INVALID
 */
export function convolutionOf(
  call: KernelCall,
  image: readonly number[],
  filter: readonly number[],
  isDepthwise: boolean,
): Convolution {
  if (call.has("dataFormat")) call.oneOf("dataFormat", ["NHWC"]);
  const [height, width, channels, last] = filter;
  if (
    last === undefined ||
    channels === undefined ||
    filter.length !== 4 ||
    image.length !== 4 ||
    channels !== image[3]
  ) {
    return call.refuse(
      `expected images [batch, height, width, channels] and a filter of so many channels, got [${image.join()}] and [${filter.join()}]`,
    );
  }
  const window = windowOver(call, image, [height!, width!]);
  const outputChannels = isDepthwise ? channels * last : last;
  return { image, filter, window, output: [image[0]!, ...window.output, outputChannels] };
}

/** Kernels on images. Their shapes, attributes and results are those of TensorFlow.js in its layout NHWC. */
export const IMAGE_KERNELS = {
  AvgPool: pool(),
  AvgPoolGrad: {
    inputs: ["dy", "input"],
    attributes: ["filterSize", ...WINDOW_ATTRIBUTES],
    infer: (call) => {
      const [dy, input] = [call.input(0, FLOAT), call.input(1, FLOAT)];
      requireShape(call, dy, pooled(call, input));
      return [input];
    },
  },
  Conv2D: convolution(false),
  Conv2DBackpropFilter: backpropFilter(false),
  Conv2DBackpropInput: backpropInput(false),
  DepthwiseConv2dNative: convolution(true),
  DepthwiseConv2dNativeBackpropFilter: backpropFilter(true),
  DepthwiseConv2dNativeBackpropInput: backpropInput(true),
  FusedConv2D: fusedConvolution(false),
  FusedDepthwiseConv2D: fusedConvolution(true),
  MaxPool: pool(),
  MaxPoolGrad: {
    inputs: ["dy", "input", "output"],
    attributes: ["filterSize", ...WINDOW_ATTRIBUTES],
    infer: (call) => {
      const input = call.input(1, FLOAT);
      for (const index of [0, 2]) {
        requireShape(call, call.input(index, FLOAT), pooled(call, input));
      }
      return [input];
    },
  },
} as const satisfies Record<string, KernelSignature>;

function pool(): KernelSignature {
  return {
    inputs: ["x"],
    attributes: ["filterSize", ...WINDOW_ATTRIBUTES],
    infer: (call) => [{ shape: pooled(call, call.input(0, FLOAT)), dtype: "float32" }],
  };
}

function pooled(call: KernelCall, input: PlanValue): readonly number[] {
  const [batch, , , channels] = imageShape(call, input.shape);
  return [batch!, ...poolWindow(call, input.shape).output, channels!];
}

function convolution(isDepthwise: boolean): KernelSignature {
  return {
    inputs: ["x", "filter"],
    attributes: CONVOLUTION,
    infer: (call) => {
      const [x, filter] = [call.input(0, FLOAT), call.input(1, FLOAT)];
      const { output } = convolutionOf(call, x.shape, filter.shape, isDepthwise);
      return [{ shape: output, dtype: "float32" }];
    },
  };
}

function fusedConvolution(isDepthwise: boolean): KernelSignature {
  const { attributes, infer } = convolution(isDepthwise);
  return {
    inputs: ["x", "filter", "bias?"],
    attributes: [...attributes, ...ACTIVATION_ATTRIBUTES],
    infer: (call) => {
      const [output] = infer(call);
      const bias = call.inputs[2] ?? null;
      const channels = output!.shape[3]!;
      if (bias !== null && elementCount(call.input(2, FLOAT).shape) !== channels) {
        call.refuse(`expected a bias of ${channels} values, got [${bias.shape.join()}]`);
      }
      fusedActivation(call);
      return [output!];
    },
  };
}

function backpropFilter(isDepthwise: boolean): KernelSignature {
  return {
    inputs: ["x", "dy"],
    attributes: [...CONVOLUTION, "filterShape"],
    infer: (call) => {
      const [x, dy] = [call.input(0, FLOAT), call.input(1, FLOAT)];
      const shape = call.integers("filterShape");
      requireShape(call, dy, convolutionOf(call, x.shape, shape, isDepthwise).output);
      return [{ shape, dtype: "float32" }];
    },
  };
}

function backpropInput(isDepthwise: boolean): KernelSignature {
  return {
    inputs: ["dy", "filter"],
    attributes: [...CONVOLUTION, "inputShape"],
    infer: (call) => {
      const [dy, filter] = [call.input(0, FLOAT), call.input(1, FLOAT)];
      const shape = call.integers("inputShape");
      requireShape(call, dy, convolutionOf(call, shape, filter.shape, isDepthwise).output);
      return [{ shape, dtype: "float32" }];
    },
  };
}

function requireShape(call: KernelCall, { shape }: PlanValue, expected: readonly number[]): void {
  if (sameShape(shape, expected)) return;
  call.refuse(`expected a gradient of [${expected.join()}], got [${shape.join()}]`);
}
