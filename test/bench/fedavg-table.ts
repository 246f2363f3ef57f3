/**
 * The FedAvg paper's table, one row of it: rounds until the global model of 2NN has 97 % on the test set of MNIST, 100
 * clients of 600 samples in one process, C = 0.1, E = 1, B = 10. IID, and two shards of 300 samples of one label each.
 *
 *     npm run bench:fedavg -- [--cells iid,shards] [--rates 0.05,0.1,0.2] [--seeds 1,2,3,4,5] [--rounds 1000]
 *                             [--directory DIR] [--report]
 *
 * The paper's procedure: the curve of accuracy over rounds is made monotone, the target is met where the line between
 * two rounds crosses it, and of the learning rates the best one counts, by the median over the seeds. Each run leaves
 * its curve in the directory and is not run again; `--report` runs nothing. Needs MNIST in PSGD_DATA_DIR.
 */
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { readTrace } from "../support/cluster.js";
import { startCli } from "../support/processes.js";
import { median } from "./median.js";
import { roundsTo } from "./rounds-to.js";

const TARGET_ACCURACY = 0.97;

/** McMahan et al. 2017, arXiv 1602.05629, table 1; and how much more rounds are taken for the same. */
const CELLS = {
  iid: { title: "IID", shards: 600, paperRounds: 87, band: 1.3 },
  shards: { title: "non-IID", shards: 2, paperRounds: 664, band: 1.5 },
} as const;

type Cell = keyof typeof CELLS;

interface Run {
  readonly cell: Cell;
  readonly rate: number;
  readonly seed: number;
}

/** What a run leaves. */
interface Outcome {
  /** After each round. */
  readonly accuracies: readonly number[];
  readonly elapsedSec: number;
}

const { values: options } = parseArgs({
  options: {
    cells: { type: "string", default: "iid,shards" },
    rates: { type: "string", default: "0.05,0.1,0.2" },
    seeds: { type: "string", default: "1,2,3,4,5" },
    rounds: { type: "string", default: "1000" },
    directory: { type: "string", default: join(tmpdir(), "psgd-fedavg-table") },
    report: { type: "boolean", default: false },
  },
});

const { directory } = options;
const maxRounds = Number(options.rounds);
const rates = options.rates.split(",").map(Number);
const seeds = options.seeds.split(",").map(Number);
const cells = options.cells.split(",").map((name): Cell => {
  if (Object.hasOwn(CELLS, name)) return name as Cell;
  throw new Error(`--cells: expected some of ${Object.keys(CELLS).join(", ")}, got ${name}`);
});

function fileOf({ cell, rate, seed }: Run): string {
  return join(directory, `${cell}-rate-${rate}-seed-${seed}.json`);
}

async function outcomeOf(run: Run): Promise<Outcome | undefined> {
  try {
    return JSON.parse(await readFile(fileOf(run), "utf8")) as Outcome;
  } catch {
    return undefined;
  }
}

async function train({ cell, rate, seed }: Run): Promise<Outcome> {
  const results = await mkdtemp(join(directory, "run-"));
  try {
    const startedAt = performance.now();
    await using job = startCli(
      "job-submit",
      [
        ...["--local", "--codec", "fedavg.FedAvgClient", "--node-count", "100", "--model", "2nn"],
        ...["--batch-size", "10", "--param", "local_steps=60", "--param", "fraction=0.1"],
        ...["--gradient-descent", "sgd", "--learn-rate", String(rate), "--seed", String(seed)],
        ...["--shards", String(CELLS[cell].shards), "--epochs", String(maxRounds)],
        ...["--target-accuracy", String(TARGET_ACCURACY), "--sync-timeout", "60"],
        ...["--output-dir", results],
      ],
      // Vectors of the model's size come and go with each step: the C library need not give their memory back.
      { env: { MALLOC_MMAP_THRESHOLD_: String(2 ** 30), MALLOC_TRIM_THRESHOLD_: String(2 ** 31) } },
    );
    const { code } = await job.exit(24 * 3600_000);
    if (code !== 0) throw new Error(job.output.slice(-2000));
    const elapsedSec = (performance.now() - startedAt) / 1000;
    const isEvaluation = (name: string): boolean => name.startsWith("E-");
    const names = (await readdir(results)).filter(isEvaluation);
    // In each round the first of its clients has evaluated for all.
    const rows = await Promise.all(names.map((_, node) => readTrace(results, "E", node)));
    const inOrder = rows.flat().sort((a, b) => a["Epochs"]! - b["Epochs"]!);
    return { accuracies: inOrder.map((row) => row["accuracy"]!), elapsedSec };
  } finally {
    await rm(results, { recursive: true, force: true });
  }
}

function roundsIn(outcome: Outcome | undefined): number | undefined {
  return outcome && roundsTo(TARGET_ACCURACY, outcome.accuracies);
}

function said(rounds: number | undefined): string {
  if (rounds === undefined) return "-";
  return rounds === Infinity ? "not reached" : rounds.toFixed(1);
}

await mkdir(directory, { recursive: true });
const runs = cells.flatMap((cell) =>
  rates.flatMap((rate) => seeds.map((seed): Run => ({ cell, rate, seed }))),
);
for (const run of options.report ? [] : runs) {
  const before = await outcomeOf(run);
  const isOver = roundsIn(before) !== Infinity || before!.accuracies.length >= maxRounds;
  const outcome = before !== undefined && isOver ? before : await train(run);
  await writeFile(fileOf(run), JSON.stringify(outcome));
  const perRound = outcome.elapsedSec / outcome.accuracies.length;
  process.stderr.write(
    `${CELLS[run.cell].title}, learning rate ${run.rate}, seed ${run.seed}: ${said(roundsIn(outcome))} rounds` +
      ` (best ${Math.max(...outcome.accuracies).toFixed(4)} in ${outcome.accuracies.length}, ${perRound.toFixed(2)} s each)\n`,
  );
}

const lines = [
  `| data | learning rate | ${seeds.map((seed) => `seed ${seed}`).join(" | ")} | median | paper | ratio | goal |`,
  `| --- | --- | ${seeds.map(() => "---").join(" | ")} | --- | --- | --- | --- |`,
];
for (const cell of cells) {
  const { title, paperRounds, band } = CELLS[cell];
  for (const rate of rates) {
    const rounds = await Promise.all(
      seeds.map(async (seed) => roundsIn(await outcomeOf({ cell, rate, seed }))),
    );
    if (rounds.every((each) => each === undefined)) continue;
    // Of some of the seeds it would be another figure.
    const middle = rounds.includes(undefined) ? undefined : median(rounds as number[]);
    const ratio =
      middle === undefined || middle === Infinity ? "-" : (middle / paperRounds).toFixed(2);
    lines.push(
      `| ${title} | ${rate} | ${rounds.map(said).join(" | ")} | ${said(middle)} | ${paperRounds} | ${ratio} | ${band} |`,
    );
  }
}
console.log(lines.join("\n"));
