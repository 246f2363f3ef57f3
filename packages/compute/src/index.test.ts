import { execFileSync } from "node:child_process";
import { serialize } from "node:v8";
import { describe, expect, it } from "vitest";
import { buildModel, MODELS, traceModel } from "./index.js";

/** Runs an ES module in a process of its own, where nothing is loaded yet. @returns what it prints, as JSON */
function inFreshProcess(source: string, input = ""): unknown {
  const output = execFileSync(process.execPath, ["--input-type=module", "--eval", source], {
    input,
    encoding: "utf8",
    cwd: new URL("..", import.meta.url),
  });
  return JSON.parse(output);
}

const LOADED = `
  import { createRequire } from "node:module";
  const loaded = () => Object.keys(createRequire(process.cwd() + "/x.js").cache)
    .flatMap((path) => /node_modules\\/(@tensorflow|onnxruntime-node)/.exec(path)?.[1] ?? []);
`;

describe("the package", () => {
  it("loads neither TensorFlow.js nor onnxruntime when it is imported", () => {
    const packages = inFreshProcess(
      `${LOADED} import "@psgd/compute"; console.log(JSON.stringify(loaded()));`,
    );
    expect(packages).toEqual([]);
  });

  it("runs plans on onnx and exports models without TensorFlow.js", () => {
    const model = buildModel(MODELS.mlp, { name: "mlp", inputShape: [4], outputSize: 2, seed: 1 });
    const { train, initialWeights, layout, topology } = traceModel(model, {
      batchSize: 2,
      evaluationBatchSize: 2,
      loss: "softmaxCrossEntropy",
    });
    model.dispose();
    const sent = serialize({ train, initialWeights, layout, topology }).toString("base64");
    const result = inFreshProcess(
      `${LOADED}
      import { readFileSync } from "node:fs";
      import { deserialize } from "node:v8";
      import { layersModelFiles, onnxEngine, safetensorsFile } from "@psgd/compute";
      const { train, initialWeights, layout, topology } = deserialize(Buffer.from(readFileSync(0, "utf8"), "base64"));
      const executable = await onnxEngine().compile(train);
      const inputs = { x: new Float32Array(8), y: Float32Array.of(1, 0, 0, 1) };
      const { loss } = executable.run(inputs, initialWeights, new Float32Array(layout.size));
      layersModelFiles(topology, { layout, weights: initialWeights });
      safetensorsFile({ layout, weights: initialWeights }, {});
      console.log(JSON.stringify({ loss: loss[0], packages: [...new Set(loaded())] }));`,
      sent,
    ) as { loss: number; packages: string[] };
    expect(result.packages).toEqual(["onnxruntime-node"]);
    // Inputs of zero and biases of zero give equal outputs.
    expect(result.loss).toBeCloseTo(Math.LN2, 6);
  });

  it("says which machine has no native binding", () => {
    const message = inFreshProcess(`
      import { onnxEngine } from "@psgd/compute";
      Object.defineProperty(process, "platform", { value: "sunos" });
      const plan = {
        format: "psgd-plan", version: 2, name: "empty", values: [], inputs: [], parameters: [], constants: [],
        layout: { tensors: [], size: 0 }, nodes: [], outputs: [], gradients: [],
        state: { layout: { tensors: [], size: 0 }, values: [], next: [] }, noise: [],
      };
      const message = await onnxEngine().compile(plan).then(() => "compiled", (error) => error.message);
      console.log(JSON.stringify(message));
    `);
    expect(message).toMatch(/^BACKEND_UNAVAILABLE: onnx engine: .*for sunos/);
  });

  it("shares its TensorFlow.js with modules that import it themselves", () => {
    const isSame = inFreshProcess(`
      import { loadTensorFlow } from "@psgd/compute";
      import * as tf from "@tensorflow/tfjs";
      console.log(JSON.stringify(tf.engine() === loadTensorFlow().engine() && tf.LayersModel === loadTensorFlow().LayersModel));
    `);
    expect(isSame).toBe(true);
  });
});
