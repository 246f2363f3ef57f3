/**
 * How training scales over cores: steps per second of the bare engine in one process, and of two at once together.
 *
 *     npm run bench:processes -- [--pairs 5] [--steps 3000]
 */
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { startNode } from "../support/processes.js";
import { hasMnist } from "../support/has-mnist.js";
import { median } from "./median.js";

const { values: options } = parseArgs({
  options: {
    pairs: { type: "string", default: "5" },
    steps: { type: "string", default: "3000" },
  },
});

async function stepsPerSec(): Promise<number> {
  const path = fileURLToPath(new URL("./bare-engine.js", import.meta.url));
  await using process = startNode([path, hasMnist() ? "mnist" : "digits", options.steps]);
  const { code } = await process.exit(120_000);
  if (code !== 0) throw new Error(process.output);
  return Number(process.stdout);
}

const [one, two]: [number[], number[]] = [[], []];
for (let pair = 0; pair < Number(options.pairs); pair++) {
  one.push(await stepsPerSec());
  const [first, second] = await Promise.all([stepsPerSec(), stepsPerSec()]);
  two.push(first + second);
}
const list = (values: readonly number[]): string =>
  `${median(values).toFixed(0).padStart(6)}   ${values.map((value) => value.toFixed(0)).join(" ")}`;
console.log(`Steps per second, mlp, batch 64; ${cpus()[0]?.model ?? "?"}, ${cpus().length} cores, Node ${process.version}
                median   runs
one process     ${list(one)}
two processes   ${list(two)}
two / one: ${(median(two) / median(one)).toFixed(2)} (to be at least 1.9)`);
