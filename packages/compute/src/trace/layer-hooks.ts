import type * as tf from "@tensorflow/tfjs";
import { activeRecorder } from "./active-recorder.js";
import { recurrentCall } from "./recurrent-call.js";

/** Tells the recorder which layer is at work; `release` leaves the layers as they were. */
export function hookLayers(layers: readonly tf.layers.Layer[]): { release: () => void } {
  const undo = layers.map((layer) => {
    const own = Object.getOwnPropertyDescriptor(layer, "call");
    const call = layer.call.bind(layer);
    layer.call = (inputs, kwargs) => {
      const { layerStack } = activeRecorder()!;
      layerStack.push(layer.name);
      const result = recurrentCall(layer, inputs, kwargs) ?? call(inputs, kwargs);
      // Left on the stack if the call throws, so that the message names the layer.
      layerStack.pop();
      return result;
    };
    return () => {
      if (own === undefined) delete (layer as Partial<tf.layers.Layer>).call;
      else Object.defineProperty(layer, "call", own);
    };
  });
  return { release: () => undo.forEach((restore) => restore()) };
}
