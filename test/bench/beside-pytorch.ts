/**
 * Training steps on one thread beside eager PyTorch: forward, backward and the update of plain gradient descent, batch
 * 64. Rounds alternate; the medians count.
 *
 *     PSGD_PYTHON=python3 npm run bench:pytorch -- [--rounds 7] [--models mlp,2nn] [--json]
 *
 * `PSGD_PYTHON` names a Python that has torch; without one, only our own times are printed.
 */
import { spawn } from "node:child_process";
import { cpus } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import type * as tf from "@tensorflow/tfjs";
import {
  buildModel,
  loadTensorFlow,
  MODELS,
  onnxEngine,
  traceTrainFunction,
  type ModelBuilder,
} from "@psgd/compute";
import { PROJECT_ROOT } from "../support/project-root.js";
import { median } from "./median.js";

const BATCH = 64;
const CLASSES = 10;
/** One round of one model takes about this long. */
const ROUND_MS = 400;

const lenetWithNorms: ModelBuilder = ({ layers, sequential }, { outputSize }) =>
  sequential({
    layers: [
      layers.conv2d({ inputShape: [28, 28, 1], filters: 6, kernelSize: 5, padding: "same" }),
      layers.batchNormalization(),
      layers.activation({ activation: "tanh" }),
      layers.averagePooling2d({ poolSize: 2 }),
      layers.conv2d({ filters: 16, kernelSize: 5 }),
      layers.batchNormalization(),
      layers.activation({ activation: "tanh" }),
      layers.averagePooling2d({ poolSize: 2 }),
      layers.flatten(),
      layers.dense({ units: 120, activation: "tanh" }),
      layers.dense({ units: 84, activation: "tanh" }),
      layers.dense({ units: outputSize }),
    ],
  });

const lstm: ModelBuilder = ({ layers, sequential }, { outputSize }) =>
  sequential({
    layers: [layers.lstm({ inputShape: [20, 16], units: 16 }), layers.dense({ units: outputSize })],
  });

/** With the part of PyTorch's time that is aimed at. */
const CASES: Readonly<Record<string, { builder: ModelBuilder; shape: number[]; goal: number }>> = {
  mlp: { builder: MODELS.mlp, shape: [784], goal: 0.8 },
  "2nn": { builder: MODELS["2nn"], shape: [784], goal: 0.9 },
  lstm: { builder: lstm, shape: [20, 16], goal: 0.6 },
  "lenet5-bn": { builder: lenetWithNorms, shape: [28, 28, 1], goal: 1.2 },
  "mcmahan-cnn": { builder: MODELS["mcmahan-cnn"], shape: [28, 28, 1], goal: 1.3 },
};

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "7" },
    models: { type: "string", default: Object.keys(CASES).join() },
    json: { type: "boolean", default: false },
  },
});

interface Ours {
  readonly traceMs: number;
  readonly compileMs: number;
  /** @returns milliseconds per step */
  readonly run: (steps: number) => number;
}

async function prepare(name: string): Promise<Ours> {
  const { builder, shape } = CASES[name]!;
  const model = buildModel(builder, { name, inputShape: shape, outputSize: CLASSES, seed: 1 });
  const { losses, Reduction, train } = loadTensorFlow();
  model.compile({
    optimizer: train.sgd(0.01),
    loss: (labels: tf.Tensor, logits: tf.Tensor) =>
      losses.softmaxCrossEntropy(labels, logits, undefined, undefined, Reduction.NONE),
  });
  const startedAt = performance.now();
  const { plan, initialState } = traceTrainFunction(model, { batchSize: BATCH });
  const tracedAt = performance.now();
  const executable = await onnxEngine().compile(plan);
  const compiledAt = performance.now();
  const inputSize = shape.reduce((product, extent) => product * extent, BATCH);
  const x = Float32Array.from({ length: inputSize }, (_, i) => Math.sin(1.7 * i));
  const y = new Float32Array(BATCH * CLASSES);
  for (let sample = 0; sample < BATCH; sample++) y[sample * CLASSES + (sample % CLASSES)] = 1;
  const [xName, yName] = plan.inputs.map((input) => input.name);
  const inputs = { [xName!]: x, [yName!]: y };
  const parameters = new Float32Array(0);
  let [state, nextState] = [initialState.slice(), initialState.slice()];
  const step = (): void => {
    executable.run(inputs, parameters, undefined, { state, nextState });
    [state, nextState] = [nextState, state];
  };
  for (let i = 0; i < 5; i++) step();
  return {
    traceMs: tracedAt - startedAt,
    compileMs: compiledAt - tracedAt,
    run: (steps) => {
      const from = performance.now();
      for (let i = 0; i < steps; i++) step();
      return (performance.now() - from) / steps;
    },
  };
}

/** PyTorch in a process of its own. @returns undefined where there is none */
async function startPyTorch() {
  const script = join(PROJECT_ROOT, "test/bench/pytorch-steps.py");
  const child = spawn(process.env["PSGD_PYTHON"] ?? "python3", [script], {
    stdio: ["pipe", "pipe", "ignore"],
    env: { ...process.env, OMP_NUM_THREADS: "1" },
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  child.on("error", () => {});
  const first = (await lines.next()) as IteratorResult<string, undefined>;
  if (first.done === true) return undefined;
  return {
    version: first.value,
    run: async (name: string, steps: number): Promise<number> => {
      child.stdin.write(`${name} ${steps}\n`);
      return Number((await lines.next()).value);
    },
    end: () => child.stdin.end(),
  };
}

const torch = await startPyTorch();
const rows: Record<string, unknown>[] = [];
if (!options.json) {
  console.log(`Milliseconds per step, batch ${BATCH}, one thread; ${cpus()[0]?.model ?? "?"}, Node ${process.version}, ${torch?.version ?? "no PyTorch"}
model          ours   PyTorch   ratio   goal   trace   compile`);
}
for (const name of options.models.split(",")) {
  const ours = await prepare(name);
  const steps = Math.max(3, Math.round(ROUND_MS / ours.run(3)));
  const [mine, theirs]: [number[], number[]] = [[], []];
  for (let round = 0; round < Number(options.rounds); round++) {
    mine.push(ours.run(steps));
    if (torch !== undefined) theirs.push(await torch.run(name, steps));
  }
  const [own, peer] = [median(mine), torch === undefined ? undefined : median(theirs)];
  const ratio = peer === undefined ? undefined : own / peer;
  const { goal } = CASES[name]!;
  const { traceMs, compileMs } = ours;
  rows.push({ name, ours: mine, pytorch: theirs, ratio, goal, traceMs, compileMs });
  if (options.json) continue;
  console.log(
    [
      name.padEnd(12),
      own.toFixed(3).padStart(6),
      (peer?.toFixed(3) ?? "-").padStart(9),
      (ratio?.toFixed(2) ?? "-").padStart(7),
      goal.toFixed(2).padStart(6),
      traceMs.toFixed(0).padStart(7),
      compileMs.toFixed(0).padStart(9),
    ].join(" "),
  );
}
torch?.end();
if (options.json) console.log(JSON.stringify({ pytorch: torch?.version, rows }));
