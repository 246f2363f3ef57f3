/**
 * What the runtime costs: steps per second of one worker in a real job over NATS (`plain.Plain`, one node, `mlp`, batch
 * 64, momentum), beside the bare engine on the same batches. Fresh processes, alternating, medians.
 *
 *     npm run bench:worker -- [--pairs 5] [--steps 3000] [--json]
 *
 * MNIST where PSGD_DATA_DIR has it, else `digits`. Times are those of the training trace, from the end of one step to
 * the end of the next: start and evaluations are not in it.
 */
import { cpus } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { hasMnist } from "../support/has-mnist.js";
import { readTrace, startCluster, type Cluster } from "../support/cluster.js";
import { startNode } from "../support/processes.js";
import { median } from "./median.js";

const TARGET_RATIO = 0.8;

const { values: options } = parseArgs({
  options: {
    pairs: { type: "string", default: "5" },
    steps: { type: "string", default: "3000" },
    json: { type: "boolean", default: false },
  },
});
const dataset = hasMnist() ? "mnist" : "digits";

async function bareStepsPerSec(): Promise<number> {
  const path = fileURLToPath(new URL("./bare-engine.js", import.meta.url));
  await using process = startNode([path, dataset, options.steps]);
  const { code } = await process.exit(120_000);
  if (code !== 0) throw new Error(process.output);
  return Number(process.stdout);
}

async function workerStepsPerSec(cluster: Cluster, run: number): Promise<number> {
  const results = join(cluster.directory, `run-${run}`);
  const { code, output } = await cluster.submit([
    ...["--codec", "plain.Plain", "--node-count", "1", "--dataset", dataset, "--epochs", "9"],
    ...["--steps", options.steps, "--output-dir", results],
  ]);
  if (code !== 0) throw new Error(output);
  const rows = await readTrace(results, "T", 0);
  let stepCount = 0;
  let elapsedSec = 0;
  for (const [index, row] of rows.entries()) {
    const before = rows[index - 1];
    // Between two epochs lies an evaluation.
    if (before === undefined || before["Epochs"] !== row["Epochs"]) continue;
    stepCount++;
    elapsedSec += row["Time"]! - before["Time"]!;
  }
  return stepCount / elapsedSec;
}

await using cluster = await startCluster({ workerCount: 1 });
const bare: number[] = [];
const worker: number[] = [];
for (let pair = 0; pair < Number(options.pairs); pair++) {
  bare.push(await bareStepsPerSec());
  worker.push(await workerStepsPerSec(cluster, pair));
}
const ratio = median(worker) / median(bare);
if (options.json) {
  console.log(JSON.stringify({ dataset, bare, worker, ratio }));
} else {
  const row = (title: string, values: readonly number[]): string =>
    `${title.padEnd(12)} ${median(values).toFixed(0).padStart(6)}   ${values.map((value) => value.toFixed(0)).join(" ")}`;
  console.log(`Steps per second, ${dataset}, mlp, batch 64; ${cpus()[0]?.model ?? "?"}, Node ${process.version}
             median   runs
${row("bare engine", bare)}
${row("worker", worker)}
worker / bare: ${ratio.toFixed(3)} (to be at least ${TARGET_RATIO})`);
}
