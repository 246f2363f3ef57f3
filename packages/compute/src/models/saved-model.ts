import type * as tf from "@tensorflow/tfjs";
import { PsgdError } from "@psgd/core";
import { loadTensorFlow } from "../tensorflow.js";
import type { ModelBuilder } from "./model-builder.js";

/**
 * A model in TensorFlow.js's layers format, with its weights, as a builder: training goes on from there. The results
 * of a job are such a model.
 *
 * @param where - what messages call it
 * @param modelJson - content of `model.json`
 * @param readFile - reads a file that stands beside it
 * @throws {PsgdError} MODEL_INVALID
 */
export async function savedModel(
  where: string,
  modelJson: string,
  readFile: (name: string) => Promise<Uint8Array>,
): Promise<ModelBuilder> {
  const tensorflow = loadTensorFlow();
  try {
    const { format, modelTopology, weightsManifest } = parse(modelJson);
    if (format !== undefined && format !== "layers-model")
      throw new Error(`its format is ${JSON.stringify(format)}, not "layers-model"`);
    const groups = weightsManifest ?? [];
    const shards = await Promise.all(groups.flatMap(({ paths }) => paths).map(readFile));
    const bytes = Buffer.concat(shards);
    const model = await tensorflow.loadLayersModel(
      tensorflow.io.fromMemory({
        modelTopology,
        weightSpecs: groups.flatMap(({ weights }) => weights),
        weightData: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength),
      }),
    );
    return () => model;
  } catch (cause) {
    throw new PsgdError(
      "MODEL_INVALID",
      `${where}: expected a model that \`tf.loadLayersModel\` reads, got an error: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}

/** What is read of a `model.json`; TensorFlow.js checks the topology itself. */
interface SavedModelJson {
  readonly format?: unknown;
  readonly modelTopology: tf.io.ModelJSON["modelTopology"];
  readonly weightsManifest?: tf.io.WeightsManifestConfig;
}

function parse(modelJson: string): SavedModelJson {
  const value: unknown = JSON.parse(modelJson);
  if (typeof value !== "object" || value === null || !("modelTopology" in value))
    throw new Error("it has no `modelTopology`");
  return value as SavedModelJson;
}
