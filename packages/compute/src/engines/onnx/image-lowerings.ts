import { convolutionOf, type Convolution } from "../../kernels/image-kernels.js";
import { poolWindow, type Window } from "../../kernels/window.js";
import { elementCount } from "../../kernels/kernel-call.js";
import { activated } from "./activated.js";
import type { Lowering } from "./lowering.js";
import type { OnnxAttribute } from "./model-proto.js";
import type { OnnxGraph, Operand } from "./onnx-graph.js";

/*
 * ONNX wants channels before height and width; onnxruntime moves and cancels the transposes that are written down here.
 */

const TO_CHANNELS_FIRST = [0, 3, 1, 2];
const TO_CHANNELS_LAST = [0, 2, 3, 1];

/** A convolution, of the fused kernels with bias and activation. */
export const convolve =
  (isDepthwise: boolean): Lowering =>
  ({ graph, call, inputs: [x, filter, bias] }) => {
    const { window, output } = convolutionOf(call, x!.shape, filter!.shape, isDepthwise);
    const group = isDepthwise ? filter!.shape[2]! : 1;
    const operands = [channelsFirst(graph, x!), kernelOf(graph, filter!, isDepthwise)];
    if (bias !== undefined && bias !== null) operands.push(graph.reshape(bias, [output[3]!]));
    const result = graph.node(
      "Conv",
      operands,
      { shape: first(output), dtype: "float32" },
      { ...attributesOf(window), dilations: window.dilations, group },
    );
    return channelsLast(graph, activated(graph, call, result));
  };

/** The transposed convolution; what the window never reached at the bottom and at the right is added again. */
export const convolveBack =
  (isDepthwise: boolean): Lowering =>
  ({ graph, call, inputs: [dy, filter], outputs: [output] }) => {
    const { window } = convolutionOf(call, output!.shape, filter!.shape, isDepthwise);
    const group = isDepthwise ? filter!.shape[2]! : 1;
    const result = transposedConvolution(
      graph,
      channelsFirst(graph, dy!),
      kernelOf(graph, filter!, isDepthwise),
      { window, group, image: output!.shape },
    );
    return channelsLast(graph, result);
  };

/**
 * The gradient of the filter: the images, channels as batch, convolved by the gradient of the output, batch as
 * channels; strides and dilations change places.
 */
export const convolveFilter =
  (isDepthwise: boolean): Lowering =>
  ({ graph, call, inputs: [x, dy], outputs: [output] }) => {
    const convolution = convolutionOf(call, x!.shape, output!.shape, isDepthwise);
    const [n, h, w, c] = x!.shape as [number, number, number, number];
    const [kh, kw, , last] = output!.shape as [number, number, number, number];
    const byChannel = graph.transpose(x!, [3, 0, 1, 2]);
    const image = isDepthwise ? graph.reshape(byChannel, [1, c * n, h, w]) : byChannel;
    const kernel = graph.transpose(dy!, [3, 0, 1, 2]);
    const reached = reachOf(convolution);
    const result = graph.node(
      "Conv",
      [image, kernel],
      { shape: [isDepthwise ? 1 : c, isDepthwise ? c * last : last, ...reached], dtype: "float32" },
      {
        pads: convolution.window.pads,
        strides: convolution.window.dilations,
        dilations: convolution.window.strides,
        group: isDepthwise ? c : 1,
      },
    );
    // Positions beyond the filter come from the part of the image that the window never reached.
    const cut = graph.node(
      "Slice",
      [result, graph.list([0, 0]), graph.list([kh, kw]), graph.list([2, 3])],
      { shape: [...result.shape.slice(0, 2), kh, kw], dtype: "float32" },
    );
    return graph.transpose(graph.reshape(cut, [c, last, kh, kw]), [2, 3, 0, 1]);
  };

export const maxPool: Lowering = ({ graph, call, inputs: [x], outputs: [output] }) => {
  const window = poolWindow(call, x!.shape);
  const like = { shape: first(output!.shape), dtype: "float32" } as const;
  return channelsLast(
    graph,
    graph.node("MaxPool", [channelsFirst(graph, x!)], like, attributesOf(window)),
  );
};

/** Each gradient goes to the first of the largest values in its window, and windows may overlap. */
export const maxPoolBack: Lowering = ({ graph, call, inputs: [dy, x], outputs: [output] }) => {
  const window = poolWindow(call, x!.shape);
  const shape = first(dy!.shape);
  const [, indices] = graph.nodes(
    "MaxPool",
    [channelsFirst(graph, x!)],
    [
      { shape, dtype: "float32" },
      { shape, dtype: "int64" },
    ],
    attributesOf(window),
  );
  const image = { shape: first(output!.shape), dtype: "float32" } as const;
  const count = elementCount(shape);
  const scattered = graph.node(
    "ScatterElements",
    [
      graph.splat({ shape: [elementCount(image.shape)], dtype: "float32" }, 0),
      graph.reshape(indices!, [count]),
      graph.reshape(channelsFirst(graph, dy!), [count]),
    ],
    { shape: [elementCount(image.shape)], dtype: "float32" },
    { axis: 0, reduction: "add" },
  );
  return channelsLast(graph, graph.reshape(scattered, image.shape));
};

export const averagePool: Lowering = ({ graph, call, inputs: [x], outputs: [output] }) => {
  const window = poolWindow(call, x!.shape);
  const like = { shape: first(output!.shape), dtype: "float32" } as const;
  const attributes = { ...attributesOf(window), count_include_pad: 0 };
  return channelsLast(
    graph,
    graph.node("AveragePool", [channelsFirst(graph, x!)], like, attributes),
  );
};

/** TensorFlow.js divides by the whole window here, also where the forward pass divided by the part inside of the image. */
export const averagePoolBack: Lowering = ({ graph, call, inputs: [dy, x], outputs: [output] }) => {
  const window = poolWindow(call, x!.shape);
  const channels = output!.shape[3]!;
  const [kh, kw] = window.size;
  const kernel = graph.splat({ shape: [channels, 1, kh, kw], dtype: "float32" }, 1 / (kh * kw));
  const options = { window, group: channels, image: output!.shape };
  const result = transposedConvolution(graph, channelsFirst(graph, dy!), kernel, options);
  return channelsLast(graph, result);
};

function transposedConvolution(
  graph: OnnxGraph,
  dy: Operand,
  kernel: Operand,
  { window, group, image }: { window: Window; group: number; image: readonly number[] },
): Operand {
  const { size, strides, dilations, pads, output } = window;
  const rest = ([0, 1] as const).map((axis) => {
    const reach = (output[axis] - 1) * strides[axis] + (size[axis] - 1) * dilations[axis] + 1;
    return image[axis + 1]! + pads[axis] + pads[axis + 2]! - reach;
  });
  return graph.node(
    "ConvTranspose",
    [dy, kernel],
    { shape: first(image), dtype: "float32" },
    { ...attributesOf(window), dilations, group, output_padding: rest },
  );
}

/** A filter [h, w, c, o] as [o, c, h, w], a depthwise one [h, w, c, m] as [c · m, 1, h, w]. */
function kernelOf(graph: OnnxGraph, filter: Operand, isDepthwise: boolean): Operand {
  if (!isDepthwise) return graph.transpose(filter, [3, 2, 0, 1]);
  const [h, w, c, m] = filter.shape as [number, number, number, number];
  return graph.reshape(graph.transpose(filter, [2, 3, 0, 1]), [c * m, 1, h, w]);
}

/** Extents of the filter's gradient before what no window reached is cut off. */
function reachOf({ image, window }: Convolution): readonly number[] {
  const { pads, strides, dilations, output } = window;
  return ([0, 1] as const).map((axis) => {
    const padded = image[axis + 1]! + pads[axis] + pads[axis + 2]!;
    const reach = (output[axis] - 1) * strides[axis] + 1;
    return Math.floor((padded - reach) / dilations[axis]) + 1;
  });
}

function attributesOf({ size, strides, pads }: Window): Record<string, OnnxAttribute> {
  return { kernel_shape: size, strides, pads };
}

function channelsFirst(graph: OnnxGraph, operand: Operand): Operand {
  return graph.transpose(operand, TO_CHANNELS_FIRST);
}

function channelsLast(graph: OnnxGraph, operand: Operand): Operand {
  return graph.transpose(operand, TO_CHANNELS_LAST);
}

function first(shape: readonly number[]): readonly number[] {
  return TO_CHANNELS_FIRST.map((axis) => shape[axis]!);
}
