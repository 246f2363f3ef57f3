import { describe, expect, it } from "vitest";
import { layersModelFiles } from "../export/layers-model.js";
import { traceModel } from "../trace/trace-model.js";
import { buildModel } from "./build-model.js";
import { MODELS } from "./registry.js";
import { savedModel } from "./saved-model.js";

const shape = { inputShape: [36], outputSize: 3, seed: 4 };
const batches = { batchSize: 2, evaluationBatchSize: 2, loss: "softmaxCrossEntropy" } as const;

describe("savedModel", () => {
  it("goes on from the weights that a job has saved", async () => {
    const model = buildModel(MODELS.mlp, { ...shape, name: "mlp" });
    const { topology, layout, initialWeights } = traceModel(model, batches);
    const trained = initialWeights.map((weight) => 2 * weight + 1);
    const files = layersModelFiles(topology, { layout, weights: trained });

    const builder = await savedModel(
      "model.json",
      new TextDecoder().decode(files["model.json"]),
      async (name) => files[name as keyof typeof files],
    );
    const again = traceModel(buildModel(builder, { ...shape, name: "again" }), batches);
    expect(again.initialWeights).toEqual(trained);
    expect(again.layout.tensors.map(({ shape: each }) => each)).toEqual(
      layout.tensors.map(({ shape: each }) => each),
    );
  });

  it.each([
    ["text that is no JSON", "{", /MODEL_INVALID: model\.json: .*tf\.loadLayersModel/],
    ["another JSON file", "{}", /it has no `modelTopology`/],
    [
      "a graph model",
      JSON.stringify({ format: "graph-model", modelTopology: {} }),
      /its format is "graph-model", not "layers-model"/,
    ],
    ["a topology that is none", JSON.stringify({ modelTopology: { a: 1 } }), /MODEL_INVALID/],
  ])("refuses %s", async (_, text, message) => {
    await expect(savedModel("model.json", text, async () => new Uint8Array())).rejects.toThrow(
      message,
    );
  });

  it("says which file is missing", async () => {
    const text = JSON.stringify({
      modelTopology: {},
      weightsManifest: [{ paths: ["weights.bin"], weights: [] }],
    });
    const missing = async (name: string): Promise<Uint8Array> => {
      throw new Error(`no ${name} here`);
    };
    await expect(savedModel("model.json", text, missing)).rejects.toThrow(
      "MODEL_INVALID: model.json: expected a model that `tf.loadLayersModel` reads, got an error: no weights.bin here",
    );
  });
});
