import { createHash } from "node:crypto";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadTensorFlow } from "@psgd/compute";
import { SILENT } from "@psgd/core";
import { fillBatch, loadDataset, prepareData } from "@psgd/data";
import { diskStore } from "@psgd/runtime";
import { readManifest, readSafetensors, readTrace, startCluster } from "../support/cluster.js";
import { WITHOUT_MNIST, hasMnist } from "../support/has-mnist.js";

test("federated averaging trains MNIST over a real server, and everything comes home", async ({
  skip,
}) => {
  skip(!hasMnist(), WITHOUT_MNIST);
  await using cluster = await startCluster({ workerCount: 3 });
  const { code, output } = await cluster.submit([
    ...["--codec", "fedavg.FedAvgClient", "--server_codec", "fedavg.FedAvgServer"],
    ...["--optimizer", "parameter_averaging", "--node_count", "2", "--epochs", "2"],
  ]);
  expect(code, output).toBe(0);

  const { home, manifest } = await readManifest(cluster.directory);
  const digests = manifest.nodes.flatMap(({ summary }) => summary?.modelSha256 ?? []);
  expect(digests).toHaveLength(2);
  expect(digests[0], "both nodes hold the same model bit for bit").toBe(digests[1]);

  for (const node of [0, 1]) {
    const last = (await readTrace(cluster.directory, "E", node)).at(-1)!;
    expect(last["accuracy"], `node ${node}, after epoch ${last["Epochs"]}`).toBeGreaterThanOrEqual(
      0.95,
    );
    const steps = await readTrace(cluster.directory, "T", node);
    expect(steps).toHaveLength(
      manifest.nodes.find(({ nodeId }) => nodeId === node)!.summary!.steps,
    );
  }

  // The digest says which weights were trained; both forms of the model hold exactly these, tensor by tensor.
  const weights = await readSafetensors(join(home, "model", "model.safetensors"));
  expect(createHash("sha256").update(new Uint8Array(weights.buffer)).digest("hex")).toBe(
    digests[0],
  );
  expect(await tensorsOfSafetensors(home)).toEqual(await tensorsOfLayersModel(home));
  const { accuracy } = (await readTrace(cluster.directory, "E", 0)).at(-1)!;
  // TensorFlow.js rounds otherwise than the engine: an image or two of the ten thousand may fall to the other side.
  expect(Math.abs((await accuracyInTensorFlow(home)) - accuracy!)).toBeLessThan(5e-4);

  const title = "N(2)-R(1)-ID(0)-CODEC(fedavg.FedAvgClient)";
  const names = await readdir(cluster.directory);
  expect(names).toEqual(expect.arrayContaining([`T-${title}.csv`, `E-${title}.csv`, "tmp_log"]));
  const logs = await readdir(join(cluster.directory, "tmp_log"));
  expect(logs.filter((name) => /^Training log @ (node-0|node-1|ps)_/.test(name))).toHaveLength(3);
  expect(logs.filter((name) => name.startsWith("P-SGD Submit @ "))).toHaveLength(1);
  for (const file of manifest.files)
    expect(await readFile(join(cluster.directory, file))).not.toHaveLength(0);
}, 120_000);

interface Tensor {
  readonly shape: readonly number[];
  readonly bytes: Buffer;
}

/** Read as the format's README says: a length, a JSON header with places, the tensors. */
async function tensorsOfSafetensors(home: string): Promise<Record<string, Tensor>> {
  const file = await readFile(join(home, "model", "model.safetensors"));
  const start = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString("utf8", 8, start)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  delete header["__metadata__"];
  return Object.fromEntries(
    Object.entries(header).map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [from, to],
        },
      ]) => {
        expect(dtype).toBe("F32");
        return [name, { shape, bytes: file.subarray(start + from, start + to) }];
      },
    ),
  );
}

/** Read as TensorFlow.js does: the tensors of the manifest, one after the other. */
async function tensorsOfLayersModel(home: string): Promise<Record<string, Tensor>> {
  const { json, data } = await readLayersModel(home);
  let offset = 0;
  return Object.fromEntries(
    json.weightsManifest[0]!.weights.map(({ name, shape }) => {
      const from = offset;
      offset += 4 * shape.reduce((product, extent) => product * extent, 1);
      return [name, { shape, bytes: data.subarray(from, offset) }];
    }),
  );
}

/** The parts of `model.json` that are read here. */
interface LayersModelJson {
  readonly modelTopology: object;
  readonly weightsManifest: readonly {
    readonly weights: { name: string; shape: number[]; dtype: "float32" }[];
  }[];
}

async function readLayersModel(home: string): Promise<{ json: LayersModelJson; data: Buffer }> {
  const text = await readFile(join(home, "model", "model.json"), "utf8");
  const data = await readFile(join(home, "model", "weights.bin"));
  return { json: JSON.parse(text) as LayersModelJson, data };
}

/** What a user of TensorFlow.js gets from the saved model, on the test set. */
async function accuracyInTensorFlow(home: string): Promise<number> {
  const tensorflow = loadTensorFlow();
  const { json, data } = await readLayersModel(home);
  const model = await tensorflow.loadLayersModel(
    tensorflow.io.fromMemory({
      modelTopology: json.modelTopology,
      weightSpecs: json.weightsManifest[0]!.weights,
      weightData: new Uint8Array(data).buffer,
    }),
  );
  const directory = process.env["PSGD_DATA_DIR"]!;
  const dataset = await loadDataset("mnist", {
    store: diskStore(directory),
    directory,
    log: SILENT,
  });
  const { test: view } = prepareData(dataset, [{ name: "image_cls" }], {
    seed: 0,
    blockCount: 1,
    batchSize: 1,
  });
  const { count, targets } = view.samples;
  const x = new Float32Array(count * view.inputSize);
  fillBatch(view, view.order(0), { x, y: new Float32Array(count * view.targetSize) });
  const classes = tensorflow.tidy(() => {
    const [logits] = [model.predict(tensorflow.tensor(x, [count, view.inputSize]))].flat();
    return logits!.argMax(1).dataSync();
  });
  model.dispose();
  return classes.filter((value, row) => value === targets[row]).length / count;
}
