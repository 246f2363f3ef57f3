/**
 * Runs a command that calls codecs in a thread of its own. A codec that never returns keeps its thread from noticing
 * anything: another one must watch it, name the call and end it.
 */
import { Console } from "node:console";
import type { Readable } from "node:stream";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import {
  PsgdError,
  fromErrorRecord,
  isPsgdError,
  toErrorRecord,
  type ErrorRecord,
} from "@psgd/core";
import { createCallWatch, lastCall, watchCalls, type CallWatch } from "./call-watch.js";
import type { CodecTestDefinition } from "./commands/test-codec.js";
import { flushOutput } from "./run-command.js";

type Arguments = Readonly<Record<string, unknown>>;

const COMMANDS = {
  "codec test": async () => (await import("./commands/codec-test.js")).runCodecExamination,
  "codec simulate": async () => (await import("./commands/codec-simulate.js")).runCodecSimulation,
  "test script": async () => (await import("./commands/test-codec.js")).runCodecTest,
  "dry run": async () => (await import("./commands/job-submit.js")).runJobSubmit,
};

interface CommandInThread {
  readonly command: keyof typeof COMMANDS;
  readonly args: Arguments;
  readonly definition: CodecTestDefinition | undefined;
  readonly watch: CallWatch;
}

/** Longer than a call takes with models of the size that is tried; where codecs are given more, they are given it here. */
const STUCK_AFTER_MS = 5000;

type End = { readonly exitCode: number } | { readonly error: ErrorRecord };

/**
 * Runs a command in a thread. What it prints is printed.
 * @param definition - of a test script
 * @returns its exit code
 * @throws {PsgdError} what the command throws; CODEC_TIMEOUT if a call of a codec does not end, CODEC_THREW if it ends the
 *   thread or leaves a rejected promise behind
 */
export async function runInCodecThread(
  command: keyof typeof COMMANDS,
  args: Arguments,
  definition?: CodecTestDefinition,
): Promise<number> {
  const data: CommandInThread = { command, args, definition, watch: createCallWatch() };
  const timeoutMs = Math.max(STUCK_AFTER_MS, 1000 * Number(args["codec-timeout"] ?? 0));
  const worker = new Worker(new URL(import.meta.url), { workerData: data });
  // Who reads us (`| head`) may have read enough: the thread must not wait for somebody to take the rest.
  const discard = (source: Readable): void => void source.resume();
  for (const stream of [process.stdout, process.stderr]) stream.on("unpipe", discard);
  let stopWatching = (): void => {};
  try {
    const end = await new Promise<End>((resolve, reject) => {
      const lost = (what: string, cause: Error): void => {
        const call = lastCall(data.watch);
        // What is ours says more of the call than that it was the last.
        reject(call === undefined || isPsgdError(cause) ? cause : codecThrew(call, what, cause));
      };
      worker.on("message", resolve);
      worker.on("error", (error: Error) => lost(`an error outside of it: ${error.message}`, error));
      worker.on("exit", (code) => {
        const what = `the end of its thread, with exit code ${code}`;
        lost(what, new Error(`bug: ${command}: ${what}`));
      });
      stopWatching = watchCalls(data.watch, timeoutMs, reject);
    });
    if ("error" in end) throw fromErrorRecord(end.error);
    return end.exitCode;
  } finally {
    stopWatching();
    await worker.terminate();
  }
}

function codecThrew(call: string, what: string, cause: unknown): PsgdError {
  return new PsgdError(
    "CODEC_THREW",
    `${call}: expected it to return or throw, got ${what}; look for \`process.exit\`, or for a promise that nobody awaits, in it or in a call before`,
    { cause },
  );
}

async function runCommand({ command, args, definition }: CommandInThread): Promise<void> {
  // A codec may print what it likes: programs read stdout.
  if (args["json"] === true) globalThis.console = new Console(process.stderr);
  let end: End;
  try {
    const run = await COMMANDS[command]();
    end = { exitCode: await run(args, definition!) };
  } catch (error) {
    end = { error: toErrorRecord(error) };
  }
  await flushOutput();
  parentPort!.postMessage(end);
}

if (!isMainThread && isCommand(workerData)) void runCommand(workerData);

function isCommand(value: unknown): value is CommandInThread {
  return typeof value === "object" && value !== null && "command" in value && "watch" in value;
}
