import type * as tf from "@tensorflow/tfjs";

/** The layers of a model and of the models within it. */
export function layersOf(model: tf.LayersModel): tf.layers.Layer[] {
  return model.layers.flatMap((layer) =>
    "layers" in layer ? [layer, ...layersOf(layer as tf.LayersModel)] : [layer],
  );
}
