import type * as tf from "@tensorflow/tfjs";
import { describe, expect, it } from "vitest";
import { layoutOf, seededRandom } from "@psgd/core";
import { buildModel } from "../models/build-model.js";
import { MODELS } from "../models/registry.js";
import { loadTensorFlow } from "../tensorflow.js";
import { traceModel } from "../trace/trace-model.js";
import { layersModelFiles } from "./layers-model.js";
import { safetensorsFile } from "./safetensors.js";

describe("layersModelFiles", () => {
  it("makes a model that TensorFlow.js loads, with the same predictions", async () => {
    const tensorflow = loadTensorFlow();
    const model = buildModel(MODELS.mlp, {
      name: "mlp",
      inputShape: [4, 4],
      outputSize: 5,
      seed: 2,
    });
    const { topology, layout, initialWeights } = traceModel(model, {
      batchSize: 2,
      evaluationBatchSize: 2,
      loss: "softmaxCrossEntropy",
    });
    const random = seededRandom("export");
    const trained = initialWeights.map((weight) => weight + 0.1 * random.normal());
    model.setWeights(
      layout.tensors.map(({ shape, offset, size }) =>
        tensorflow.tensor(trained.slice(offset, offset + size), [...shape]),
      ),
    );

    const files = layersModelFiles(topology, { layout, weights: trained });
    const json = JSON.parse(new TextDecoder().decode(files["model.json"])) as tf.io.ModelJSON;
    expect(json.weightsManifest[0]!.paths).toEqual(["weights.bin"]);
    const loaded = await tensorflow.loadLayersModel(
      tensorflow.io.fromMemory({
        modelTopology: json.modelTopology,
        weightSpecs: json.weightsManifest[0]!.weights,
        weightData: files["weights.bin"].slice().buffer,
        ...(json.format === undefined ? {} : { format: json.format }),
      }),
    );
    const x = tensorflow.randomNormal([3, 4, 4], 0, 1, "float32", 1);
    const [expected, got] = [model, loaded].map((m) => (m.predict(x) as tf.Tensor).dataSync());
    expect(got).toEqual(expected);
    expect(got!.some((value) => Math.abs(value) > 0.1)).toBe(true);
    tensorflow.dispose([x]);
    model.dispose();
    loaded.dispose();
  });

  it("refuses weights of another length", () => {
    expect(() =>
      layersModelFiles(
        {},
        { layout: layoutOf([{ name: "w", shape: [2] }]), weights: new Float32Array(3) },
      ),
    ).toThrow(/^SHAPE_MISMATCH: weights of the layers model: expected 2 values, got 3/);
  });
});

describe("safetensorsFile", () => {
  const layout = layoutOf([
    { name: "dense/kernel", shape: [2, 3] },
    { name: "dense/bias", shape: [3] },
    { name: "scale", shape: [] },
  ]);
  const weights = Float32Array.from({ length: 10 }, (_, i) => i - 4.5);

  it("has the bytes that the format describes", () => {
    const file = safetensorsFile({ layout, weights }, { job: "42", text: "größer" });
    const bytes = Buffer.from(file);
    const headerLength = Number(bytes.readBigUInt64LE(0));
    expect(headerLength % 8).toBe(0);
    const header = bytes.subarray(8, 8 + headerLength).toString("utf8");
    expect(header.startsWith("{")).toBe(true);
    expect(JSON.parse(header)).toEqual({
      __metadata__: { job: "42", text: "größer" },
      "dense/kernel": { dtype: "F32", shape: [2, 3], data_offsets: [0, 24] },
      "dense/bias": { dtype: "F32", shape: [3], data_offsets: [24, 36] },
      scale: { dtype: "F32", shape: [], data_offsets: [36, 40] },
    });
    expect(bytes.length).toBe(8 + headerLength + 40);
    const values = Array.from({ length: 10 }, (_, i) =>
      bytes.readFloatLE(8 + headerLength + 4 * i),
    );
    expect(values).toEqual([...weights]);
  });

  it("refuses what a reader would misread", () => {
    expect(() => safetensorsFile({ layout, weights: weights.subarray(1) }, {})).toThrow(
      /^SHAPE_MISMATCH/,
    );
    const taken = layoutOf([{ name: "__metadata__", shape: [1] }]);
    expect(() => safetensorsFile({ layout: taken, weights: new Float32Array(1) }, {})).toThrow(
      /^MODEL_INVALID: tensor name/,
    );
  });
});
