import { access, constants, mkdir } from "node:fs/promises";
import { MODELS, buildModel, traceModel } from "@psgd/compute";
import { SILENT, toErrorRecord, type Engine } from "@psgd/core";
import { DATASETS, loadDataset } from "@psgd/data";
import { diskStore, systemClock } from "@psgd/runtime";
import {
  ENGINES,
  VERSION,
  cacheDirectory,
  connectCluster,
  dataDirectory,
  type EngineName,
} from "../compose.js";
import { EXIT_CODES, exitCodeOf } from "../exit-codes.js";
import { findWorkers } from "../job-session.js";
import { table } from "../table.js";

/** One thing that jobs may need, and whether it is here. */
interface Finding {
  readonly what: string;
  readonly isHere: boolean;
  /** What was found, or why not and what to do. */
  readonly detail: string;
}

const BATCH = 64;
const STEPS = 200;

/** Says what is available on this machine, and why the rest is not. @returns the exit code */
export async function runDoctor(args: Readonly<Record<string, unknown>>): Promise<number> {
  const engines = await Promise.all((Object.keys(ENGINES) as EngineName[]).map(examineEngine));
  const findings: readonly Finding[] = [
    { what: "psgd", isHere: true, detail: `${VERSION}, Node.js ${process.version}` },
    ...engines,
    ...(await Promise.all(Object.keys(DATASETS).map(examineDataset))),
    await examine("cache", examineCache),
    await examine("cluster", () => examineCluster(args["nats"] as string)),
  ];
  if (args["json"] === true) process.stdout.write(`${JSON.stringify(findings)}\n`);
  else {
    const rows = findings.map(({ what, isHere, detail }) => [what, isHere ? "yes" : "no", detail]);
    process.stdout.write(table(["WHAT", "HERE", "DETAIL"], rows));
  }
  // A machine can do without a server or a data set, but not without any engine.
  return engines.some(({ isHere }) => isHere) ? EXIT_CODES.done : exitCodeOf("BACKEND_UNAVAILABLE");
}

async function examine(what: string, look: () => Promise<string>): Promise<Finding> {
  try {
    return { what, isHere: true, detail: await look() };
  } catch (error) {
    return { what, isHere: false, detail: toErrorRecord(error).message };
  }
}

function examineEngine(name: EngineName): Promise<Finding> {
  return examine(`engine ${name}`, async () => {
    const stepMs = await measureStep(ENGINES[name]());
    return `${stepMs.toFixed(2)} ms for a step of mlp, batch ${BATCH}`;
  });
}

/** Trains a little, for an engine that loads may still not run. @returns milliseconds a step, the fastest */
async function measureStep(engine: Engine): Promise<number> {
  const shape = { inputShape: [784], outputSize: 10 };
  const model = buildModel(MODELS.mlp, { ...shape, name: "mlp", seed: 1 });
  const { train, layout, initialWeights } = traceModel(model, {
    batchSize: BATCH,
    evaluationBatchSize: BATCH,
    loss: "softmaxCrossEntropy",
  });
  model.dispose();
  const executable = await engine.compile(train);
  const inputs = { x: new Float32Array(BATCH * 784), y: new Float32Array(BATCH * 10).fill(0.1) };
  const gradients = new Float32Array(layout.size);
  let fastestMs = Infinity;
  const startedAt = systemClock.now();
  for (let step = 0; step < STEPS && systemClock.now() - startedAt < 1000; step++) {
    const before = systemClock.now();
    executable.run(inputs, initialWeights, gradients);
    fastestMs = Math.min(fastestMs, systemClock.now() - before);
  }
  executable.dispose();
  return fastestMs;
}

function examineDataset(name: string): Promise<Finding> {
  const directory = dataDirectory();
  return examine(`data set ${name}`, async () => {
    const dataset = await loadDataset(name, {
      store: diskStore(directory),
      directory,
      log: SILENT,
    });
    const { train, test, synthetic } = dataset;
    const origin = synthetic ? "made from a seed (synthetic)" : `in ${directory}`;
    return `${train.count} + ${test.count} samples, ${origin}`;
  });
}

async function examineCache(): Promise<string> {
  const directory = cacheDirectory();
  await mkdir(directory, { recursive: true });
  await access(directory, constants.W_OK);
  return directory;
}

async function examineCluster(natsUrl: string): Promise<string> {
  const cluster = await connectCluster(natsUrl, "psgd doctor");
  try {
    const workers = await findWorkers(cluster, (found) => found.length > 0);
    const slots = workers.reduce((sum, { freeSlots }) => sum + freeSlots, 0);
    return `${workers.length} workers at ${natsUrl}, ${slots} free slots`;
  } finally {
    await cluster.transport.close();
  }
}
