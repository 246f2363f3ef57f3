import { requireLength } from "@psgd/core";
import type { NamedTensors } from "./named-tensors.js";
import { tensorBytes } from "./tensor-bytes.js";

/**
 * A trained model as the two files that `tf.loadLayersModel` reads.
 *
 * @param topology - of `TracedModel`
 * @param tensors - all weights of the model
 * @throws {PsgdError} SHAPE_MISMATCH
 */
export function layersModelFiles(
  topology: Readonly<Record<string, unknown>>,
  { layout, weights }: NamedTensors,
): { readonly "model.json": Uint8Array; readonly "weights.bin": Uint8Array } {
  requireLength(weights, layout.size, "weights of the layers model");
  const model = {
    format: "layers-model",
    generatedBy: "psgd",
    convertedBy: null,
    modelTopology: topology,
    weightsManifest: [
      {
        paths: ["weights.bin"],
        weights: layout.tensors.map(({ name, shape }) => ({ name, shape, dtype: "float32" })),
      },
    ],
  };
  return {
    "model.json": new TextEncoder().encode(JSON.stringify(model, undefined, 2)),
    "weights.bin": tensorBytes(weights),
  };
}
