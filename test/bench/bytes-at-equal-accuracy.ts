/**
 * Bytes at equal accuracy: three epochs of MNIST, `mlp`, four nodes, each codec beside the exact mean in fp32.
 *
 *     npm run bench:bytes -- [--codecs qsgd,topk] [--seeds 1,2,3,4,5] [--directory DIR] [--report]
 *
 * Bytes are those that all nodes sent, links' own included, from their traces; accuracy is that of the job's last
 * evaluation, as the mean over the seeds. Each run leaves its figures in the directory and is not run again; `--report`
 * runs nothing. Needs MNIST in PSGD_DATA_DIR.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { readTrace } from "../support/cluster.js";
import { startCli } from "../support/processes.js";

const NODES = [0, 1, 2, 3];

interface Subject {
  readonly title: string;
  readonly codec: string;
  readonly parameters?: Readonly<Record<string, number | string>>;
  /** What gradients become before they are sent; codecs with a momentum of their own want none. */
  readonly gradientDescent?: string;
  readonly learningRate?: number;
  /** Ratio that is to be reached, if any is. */
  readonly goal?: number;
}

/** All that each is compared with: heavy-ball momentum 0.9, learning rate 0.05. */
const REFERENCE: Subject = { title: "fp32", codec: "plain.Plain" };

const SUBJECTS: Readonly<Record<string, Subject>> = {
  fp32: REFERENCE,
  fp32adam: {
    title: "fp32, Adam",
    codec: "plain.Plain",
    ...{ gradientDescent: "adam", learningRate: 0.003 },
  },
  fp32rmsprop: {
    title: "fp32, RMSProp",
    codec: "plain.Plain",
    ...{ gradientDescent: "rmsprop", learningRate: 0.003 },
  },
  fp16: { title: "fp16", codec: "fp16.Fp16" },
  int8: { title: "int8", codec: "int8.Int8" },
  qsgd: { title: "QSGD 4 bit", codec: "qsgd.Qsgd", goal: 7.5 },
  terngrad: { title: "TernGrad", codec: "terngrad.TernGrad", goal: 19 },
  efsign: {
    title: "EF-signSGD",
    codec: "ef_signsgd.EfSignSgd",
    // Signs suit steps that are about as large everywhere.
    ...{ gradientDescent: "adam", learningRate: 0.003, goal: 31 },
  },
  topk: {
    title: "top-k 1 %",
    codec: "topk.TopK",
    parameters: { fraction: 0.01 },
    ...{ gradientDescent: "sgd", learningRate: 0.5, goal: 80 },
  },
  powersgd: {
    title: "PowerSGD rank 2",
    codec: "powersgd.PowerSgd",
    parameters: { rank: 2, momentum: 0.9 },
    ...{ gradientDescent: "sgd", goal: 40 },
  },
  dgc: {
    title: "DGC 0.1 %",
    codec: "dgc.Dgc",
    // Warm-up in the first of the three epochs.
    parameters: { fraction: 0.001, momentum: 0, warmup_steps: 234, warmup_fraction: 0.016 },
    ...{ gradientDescent: "rmsprop", learningRate: 0.003, goal: 270 },
  },
  diloco: {
    title: "DiLoCo H = 500",
    codec: "diloco.DiLoCo",
    parameters: {
      ...{ local_steps: 500, first_local_steps: 1, values: "4bit" },
      ...{ outer_momentum: 0.7, outer_rate: 0.7 },
    },
    ...{ gradientDescent: "adam", learningRate: 0.002, goal: 450 },
  },
  diloco0: {
    title: "DiLoCo H = 500, no warm-up",
    codec: "diloco.DiLoCo",
    parameters: { local_steps: 500, outer_momentum: 0, outer_rate: 1 },
    goal: 450,
  },
};

interface Outcome {
  readonly bytes: number;
  readonly accuracy: number;
  readonly elapsedSec: number;
}

const { values: options } = parseArgs({
  options: {
    codecs: { type: "string", default: Object.keys(SUBJECTS).join(",") },
    seeds: { type: "string", default: "1,2,3,4,5" },
    directory: { type: "string", default: join(tmpdir(), "psgd-bytes-table") },
    report: { type: "boolean", default: false },
  },
});
const { directory } = options;
const seeds = options.seeds.split(",").map(Number);
const names = options.codecs.split(",");
const unknown = names.find((name) => !Object.hasOwn(SUBJECTS, name));
if (unknown !== undefined)
  throw new Error(`--codecs: expected some of ${Object.keys(SUBJECTS).join(", ")}, got ${unknown}`);

function fileOf(name: string, seed: number): string {
  return join(directory, `${name}-seed-${seed}.json`);
}

async function outcomeOf(name: string, seed: number): Promise<Outcome | undefined> {
  try {
    return JSON.parse(await readFile(fileOf(name, seed), "utf8")) as Outcome;
  } catch {
    return undefined;
  }
}

async function train(subject: Subject, seed: number): Promise<Outcome> {
  const { codec, parameters = {}, gradientDescent = "momentum", learningRate = 0.05 } = subject;
  const results = await mkdtemp(join(directory, "run-"));
  try {
    const startedAt = performance.now();
    await using job = startCli("job-submit", [
      ...["--local", "--codec", codec, "--node-count", String(NODES.length), "--model", "mlp"],
      ...["--epochs", "3", "--gradient-descent", gradientDescent, "--seed", String(seed)],
      ...["--learn-rate", String(learningRate), "--sync-timeout", "60", "--output-dir", results],
      ...Object.entries(parameters).flatMap(([key, value]) => ["--param", `${key}=${value}`]),
    ]);
    const { code } = await job.exit(3600_000);
    if (code !== 0) throw new Error(job.output.slice(-2000));
    const elapsedSec = (performance.now() - startedAt) / 1000;
    const traces = await Promise.all(NODES.map((node) => readTrace(results, "T", node)));
    const evaluations = await readTrace(results, "E", 0);
    return {
      bytes: traces.reduce((sum, rows) => sum + rows.at(-1)!["BytesSent"]!, 0),
      accuracy: evaluations.at(-1)!["accuracy"]!,
      elapsedSec,
    };
  } finally {
    await rm(results, { recursive: true, force: true });
  }
}

await mkdir(directory, { recursive: true });
const wanted = options.report ? [] : [...new Set(["fp32", ...names])];
for (const name of wanted) {
  for (const seed of seeds) {
    if ((await outcomeOf(name, seed)) !== undefined) continue;
    const outcome = await train(SUBJECTS[name]!, seed);
    await writeFile(fileOf(name, seed), JSON.stringify(outcome));
    process.stderr.write(
      `${SUBJECTS[name]!.title}, seed ${seed}: ${outcome.bytes} bytes, accuracy ${outcome.accuracy}, ${outcome.elapsedSec.toFixed(1)} s\n`,
    );
  }
}

async function outcomesOf(name: string): Promise<readonly Outcome[] | undefined> {
  const outcomes = await Promise.all(seeds.map((seed) => outcomeOf(name, seed)));
  return outcomes.every((outcome) => outcome !== undefined) ? outcomes : undefined;
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

const reference = await outcomesOf("fp32");
if (reference === undefined) throw new Error("expected runs of fp32 with all seeds, got none");
const referenceBytes = mean(reference.map(({ bytes }) => bytes));
const referenceAccuracy = mean(reference.map(({ accuracy }) => accuracy));
const lines = [
  "| codec | bytes sent | ratio | goal | accuracy | points to fp32 |",
  "| --- | --- | --- | --- | --- | --- |",
];
for (const name of names) {
  const outcomes = await outcomesOf(name);
  if (outcomes === undefined) continue;
  const { title, goal } = SUBJECTS[name]!;
  const bytes = mean(outcomes.map((outcome) => outcome.bytes));
  const accuracy = mean(outcomes.map((outcome) => outcome.accuracy));
  const ratio = (referenceBytes / bytes).toFixed(1);
  const points = (100 * (accuracy - referenceAccuracy)).toFixed(2);
  lines.push(
    `| ${title} | ${Math.round(bytes)} | ${ratio} | ${goal ?? "-"} | ${accuracy.toFixed(4)} | ${points} |`,
  );
}
console.log(lines.join("\n"));
