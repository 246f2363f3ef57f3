import type * as tf from "@tensorflow/tfjs";

/** The layers of a model, those of the models within it, and those that other layers wrap. */
export function layersOf(model: tf.LayersModel): tf.layers.Layer[] {
  return model.layers.flatMap(withInner);
}

function withInner(layer: tf.layers.Layer): tf.layers.Layer[] {
  const { layers, layer: wrapped, forwardLayer, backwardLayer } = layer as Outer;
  const inner = [...(layers ?? []), wrapped, forwardLayer, backwardLayer];
  return [layer, ...inner.filter((candidate) => candidate !== undefined).flatMap(withInner)];
}

/** A model has layers; TimeDistributed has one; Bidirectional has two. */
interface Outer extends tf.layers.Layer {
  readonly layers?: readonly tf.layers.Layer[];
  readonly layer?: tf.layers.Layer;
  readonly forwardLayer?: tf.layers.Layer;
  readonly backwardLayer?: tf.layers.Layer;
}
