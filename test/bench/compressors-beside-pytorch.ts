/**
 * Encoders and decoders beside the same algorithms in eager PyTorch on one thread, nanoseconds per value. Rounds
 * alternate; the medians count.
 *
 *     PSGD_PYTHON=python3 npm run bench:compressors -- [--rounds 5] [--sizes 118282,10000000]
 *
 * `PSGD_PYTHON` names a Python that has torch; without one, only our own times are printed. Ours is a packet of bytes
 * with positions in Golomb codes; PyTorch's are tensors, positions in 64 bits.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { seededRandom } from "@psgd/core";
import type * as compressors from "../../codecs/compressors/index.js";
import { PROJECT_ROOT } from "../support/project-root.js";
import { median } from "./median.js";

// The built ones: this program runs from test/dist.
const { Chain, bf16, fp16, float32, qsgd, quantize, scaledSign, ternary, topK } = (await import(
  pathToFileURL(join(PROJECT_ROOT, "codecs/dist/compressors/index.js")).href
)) as typeof compressors;

const CHAINS: Readonly<Record<string, compressors.Chain>> = {
  fp16: new Chain(undefined, fp16()),
  bf16: new Chain(undefined, bf16()),
  int8: new Chain(undefined, quantize(8)),
  qsgd4: new Chain(undefined, qsgd({ bits: 4 })),
  sign: new Chain(undefined, scaledSign()),
  ternary: new Chain(undefined, ternary()),
  topk: new Chain(topK(0.01), float32()),
};
const DIRECTIONS = ["encode", "decode"] as const;

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    sizes: { type: "string", default: "118282,10000000" },
  },
});
const rounds = Number(options.rounds);
const sizes = options.sizes.split(",").map(Number);

function ours(
  chain: compressors.Chain,
  direction: (typeof DIRECTIONS)[number],
  size: number,
): number {
  const random = seededRandom("compressors");
  const values = new Float32Array(size);
  for (let i = 0; i < size; i++) values[i] = random.normal();
  const segments = [{ offset: 0, size }];
  const packet = chain.encode(values, segments, random);
  const work =
    direction === "encode"
      ? (): unknown => chain.encode(values, segments, random)
      : (): unknown => chain.decode(packet, size, segments);
  let least = Infinity;
  // As many as PyTorch has, after the first have been compiled.
  for (let warm = 0; warm < (size > 1e6 ? 3 : 100); warm++) work();
  for (let i = Math.max(3, Math.min(200, Math.floor(2e7 / size))); i > 0; i--) {
    const startedAt = performance.now();
    work();
    least = Math.min(least, performance.now() - startedAt);
  }
  return (1e6 * least) / size;
}

/** Asks PyTorch, if there is one. */
function pyTorch(): { ask: (line: string) => Promise<number>; close: () => void } | undefined {
  const python = process.env["PSGD_PYTHON"];
  if (python === undefined) return undefined;
  const child = spawn(python, [join(PROJECT_ROOT, "test/bench/pytorch-compressors.py")], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, OMP_NUM_THREADS: "1", MKL_NUM_THREADS: "1" },
  });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async ask(line) {
      child.stdin.write(`${line}\n`);
      const answer = (await answers.next()) as IteratorResult<string, undefined>;
      if (answer.done === true) throw new Error(`PyTorch ended at ${line}`);
      return Number(answer.value);
    },
    close: () => child.stdin.end(),
  };
}

const peer = pyTorch();
const rows: string[][] = [["algorithm", "direction", "values", "ours", "PyTorch", "ratio"]];
for (const size of sizes) {
  for (const [name, chain] of Object.entries(CHAINS)) {
    for (const direction of DIRECTIONS) {
      const own: number[] = [];
      const theirs: number[] = [];
      for (let round = 0; round < rounds; round++) {
        own.push(ours(chain, direction, size));
        if (peer !== undefined) theirs.push(await peer.ask(`${name} ${direction} ${size}`));
      }
      const [mine, other] = [median(own), peer === undefined ? NaN : median(theirs)];
      rows.push([
        ...[name, direction, String(size), mine.toFixed(3)],
        ...(peer === undefined ? ["-", "-"] : [other.toFixed(3), (mine / other).toFixed(2)]),
      ]);
      process.stderr.write(`${rows.at(-1)!.join(" ")}\n`);
    }
  }
}
peer?.close();
const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
for (const row of rows)
  console.log(
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join("  ")
      .trimEnd(),
  );
