import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { serialize } from "node:v8";
import type { Plan } from "@psgd/core";
import { DOUBLE } from "./double-plan.js";
import { ENGINES, FAST_ENGINE_NAMES, REFERENCE_ENGINE, type EngineName } from "./registry.js";

/** Whether an engine works on this machine. */
export type EngineProbe =
  | {
      readonly name: EngineName;
      readonly isAvailable: true;
      /** Milliseconds a run of the plan takes; by default of the mlp model's training step, batch `PROBE_BATCH`. */
      readonly stepMs: number;
    }
  | { readonly name: EngineName; readonly isAvailable: false; readonly reason: string };

export const PROBE_BATCH = 64;

const PROGRAM = fileURLToPath(new URL("./probe-process.js", import.meta.url));
/** Compiling a long recurrent network takes seconds, and so does the first use of a GPU. */
const TIME_LIMIT_MS = 30_000;

/**
 * Tries engines one after the other, in another process: this one loads no library and is safe from theirs. An engine
 * that ends that process or takes too long is not available.
 *
 * @param options.plan - what to try them with; by default the training step of the mlp model
 */
export async function probeEngines(
  options: { readonly names?: readonly EngineName[]; readonly plan?: Plan } = {},
): Promise<readonly EngineProbe[]> {
  const names = options.names ?? (Object.keys(ENGINES) as EngineName[]);
  const input = options.plan === undefined ? new Uint8Array() : serialize(options.plan);
  const probes: EngineProbe[] = [];
  while (probes.length < names.length) {
    const rest = names.slice(probes.length);
    const { found, end } = await runProgram(rest, input);
    probes.push(...found);
    const culprit = rest[found.length];
    if (culprit !== undefined) probes.push({ name: culprit, isAvailable: false, reason: end });
  }
  return probes;
}

/**
 * The names of those that work on this machine, found out as cheaply as can be: with the smallest plan, and without
 * the reference, which is JavaScript alone and runs everywhere.
 */
export async function availableEngines(): Promise<readonly EngineName[]> {
  const probes = await probeEngines({ names: FAST_ENGINE_NAMES, plan: DOUBLE });
  return [...probes.flatMap((probe) => (probe.isAvailable ? [probe.name] : [])), REFERENCE_ENGINE];
}

/** @returns what it found until it ended, and how it ended */
function runProgram(
  names: readonly EngineName[],
  input: Uint8Array,
): Promise<{ readonly found: readonly EngineProbe[]; readonly end: string }> {
  const child = spawn(process.execPath, [PROGRAM, ...names], {
    stdio: ["pipe", "ignore", "ignore", "pipe"],
  });
  const found: EngineProbe[] = [];
  let isLate = false;
  const kill = (): void => {
    isLate = true;
    child.kill("SIGKILL");
  };
  let timer = setTimeout(kill, TIME_LIMIT_MS);
  createInterface({ input: child.stdio[3] as Readable }).on("line", (line) => {
    found.push(JSON.parse(line) as EngineProbe);
    clearTimeout(timer);
    // An ordinary exit would wait a second for the optimising compiler of WebAssembly.
    if (found.length === names.length) child.kill("SIGKILL");
    else timer = setTimeout(kill, TIME_LIMIT_MS);
  });
  const stdin = child.stdin as Writable;
  // It may end before it has read everything.
  stdin.on("error", () => {});
  stdin.end(input);
  return new Promise((resolve) => {
    const finish = (end: string): void => {
      clearTimeout(timer);
      resolve({ found, end });
    };
    child.on("error", (error) => finish(`its process could not be started: ${error.message}`));
    child.on("close", (code, signal) => {
      if (isLate) finish(`it did not run a step within ${TIME_LIMIT_MS / 1000} seconds`);
      else finish(`its process ended with ${signal ?? `code ${code}`}`);
    });
  });
}
