import { createHash } from "node:crypto";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readManifest, readSafetensors, readTrace, startCluster } from "../support/cluster.js";
import { hasMnist } from "../support/has-mnist.js";

test.skipIf(!hasMnist())(
  "federated averaging trains MNIST over a real server, and everything comes home",
  async () => {
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
      expect(
        last["accuracy"],
        `node ${node}, after epoch ${last["Epochs"]}`,
      ).toBeGreaterThanOrEqual(0.95);
      const steps = await readTrace(cluster.directory, "T", node);
      expect(steps).toHaveLength(
        manifest.nodes.find(({ nodeId }) => nodeId === node)!.summary!.steps,
      );
    }

    // The digest says which weights were trained; both forms of the model hold exactly these.
    const weights = await readSafetensors(join(home, "model", "model.safetensors"));
    const bytes = new Uint8Array(weights.buffer);
    expect(createHash("sha256").update(bytes).digest("hex")).toBe(digests[0]);
    expect(Buffer.compare(bytes, await readFile(join(home, "model", "weights.bin")))).toBe(0);
    const title = "N(2)-R(1)-ID(0)-CODEC(fedavg.FedAvgClient)";
    const names = await readdir(cluster.directory);
    expect(names).toEqual(expect.arrayContaining([`T-${title}.csv`, `E-${title}.csv`, "tmp_log"]));
    const logs = await readdir(join(cluster.directory, "tmp_log"));
    expect(logs.filter((name) => /^Training log @ (node-0|node-1|ps)_/.test(name))).toHaveLength(3);
    expect(logs.filter((name) => name.startsWith("P-SGD Submit @ "))).toHaveLength(1);
  },
  120_000,
);
