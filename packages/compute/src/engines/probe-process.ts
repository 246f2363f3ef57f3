/**
 * Tries engines, in a process of its own because a native library may crash it. Arguments: their names. Standard input:
 * the plan to try them with, serialised by V8, or nothing: then it is the training step of the mlp model. Descriptor 3
 * gets one JSON value a line, an `EngineProbe` each, as soon as it is known.
 */
import { writeSync } from "node:fs";
import { buffer } from "node:stream/consumers";
import { deserialize } from "node:v8";
import { toErrorRecord, type Plan } from "@psgd/core";
import { buildModel } from "../models/build-model.js";
import { MODELS } from "../models/registry.js";
import { traceModel } from "../trace/trace-model.js";
import { PROBE_BATCH, type EngineProbe } from "./probe-engines.js";
import { ENGINES, type EngineName } from "./registry.js";
import { Trial } from "./trial.js";

// NOTE: `readFileSync` of a pipe makes Node 20 resolve no symbolic links any more, so that packages are not found.
const given = await buffer(process.stdin);
const plan = given.length === 0 ? tracePlan() : (deserialize(given) as Plan);
for (const name of process.argv.slice(2) as EngineName[])
  writeSync(3, `${JSON.stringify(await probe(name))}\n`);

async function probe(name: EngineName): Promise<EngineProbe> {
  try {
    const executable = await ENGINES[name]().compile(plan);
    const stepMs = new Trial(plan).measure(executable);
    executable.dispose();
    return { name, isAvailable: true, stepMs };
  } catch (error) {
    return { name, isAvailable: false, reason: toErrorRecord(error).message };
  }
}

function tracePlan(): Plan {
  const shape = { inputShape: [784], outputSize: 10 };
  const model = buildModel(MODELS.mlp, { ...shape, name: "mlp", seed: 1 });
  const batch = { batchSize: PROBE_BATCH, evaluationBatchSize: PROBE_BATCH };
  return traceModel(model, { ...batch, loss: "softmaxCrossEntropy" }).train;
}
