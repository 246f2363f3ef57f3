import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { WorkerInfo } from "@psgd/core";
import { connectNats } from "@psgd/transport";
import { startNatsServer, type NatsServer } from "./nats-server.js";
import { startCli, type CliProcess, type Exit } from "./processes.js";

/** A nats-server, workers and a place to submit from, all of this test alone. Use with `await using`. */
export interface Cluster extends AsyncDisposable {
  readonly server: NatsServer;
  /** Where submitters run and results go. */
  readonly directory: string;
  readonly workers: readonly CliProcess[];
  /** Starts one of our commands against this cluster. */
  start(command: "worker" | "job-submit" | "psgd", args: readonly string[]): CliProcess;
  /** Runs `job-submit` to its end; rejects if that takes longer than a test may. */
  submit(args: readonly string[]): Promise<Finished>;
  /** What `psgd nodes --json` says. */
  nodes(): Promise<readonly WorkerInfo[]>;
  /** The workers that answer the test itself: without the start of a command. */
  answering(): Promise<readonly WorkerInfo[]>;
  /** Resolves when all workers that answer are idle and no process of a node is left. */
  idle(): Promise<void>;
}

/** A command that has ended. */
export interface Finished extends Exit {
  readonly stdout: string;
  /** Both streams. */
  readonly output: string;
}

/** A job that trains hangs longer than this only if it hangs for ever. */
const JOB_TIMEOUT_MS = 120_000;
/** As long as `psgd nodes` listens, and where nobody answers. */
const [LISTENING_MS, PATIENT_MS] = [500, 2_000];

/** Starts a server and workers named `w1`, `w2`, ... and waits until each is announced. */
export async function startCluster(options: {
  readonly workerCount: number;
  readonly slots?: number;
}): Promise<Cluster> {
  const server = await startNatsServer();
  const directory = await mkdtemp(join(tmpdir(), "psgd-cluster-"));
  const started: CliProcess[] = [];
  const dispose = async (): Promise<void> => {
    for (const process of started) await process[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  };
  const start: Cluster["start"] = (command, args) => {
    const process = startCli(command, args, { cwd: directory, env: { NATS_URL: server.url } });
    started.push(process);
    return process;
  };
  const nodes = async (): Promise<readonly WorkerInfo[]> => {
    const process = start("psgd", ["nodes", "--json"]);
    await process.exit();
    return JSON.parse(process.stdout) as WorkerInfo[];
  };
  const answering = async (): Promise<readonly WorkerInfo[]> => {
    const { transport, directory } = await connectNats({ servers: server.url, name: "test" });
    try {
      const found = await directory.list({ timeoutMs: LISTENING_MS });
      if (found.length > 0) return found;
      return await directory.list({ timeoutMs: PATIENT_MS, enough: (some) => some.length > 0 });
    } finally {
      await transport.close();
    }
  };
  const cluster: Cluster = {
    server,
    directory,
    workers: [],
    start,
    async submit(args) {
      const process = start("job-submit", args);
      const exit = await process.exit(JOB_TIMEOUT_MS);
      return { ...exit, stdout: process.stdout, output: process.output };
    },
    nodes,
    answering,
    async idle() {
      for (;;) {
        const infos = await answering();
        const isIdle = infos.every(({ slots, freeSlots }) => slots === freeSlots);
        if (isIdle && infos.length > 0 && (await nodeProcesses(cluster.workers)).length === 0)
          return;
      }
    },
    [Symbol.asyncDispose]: dispose,
  };
  try {
    const names = Array.from({ length: options.workerCount }, (_, index) => `w${index + 1}`);
    const workers = await Promise.all(
      names.map((name) => startWorker(cluster, name, ["--slots", String(options.slots ?? 1)])),
    );
    return { ...cluster, workers: Object.assign(cluster.workers, workers) };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Starts another worker, with directories of its own, and waits until it is announced. */
export async function startWorker(
  cluster: Cluster,
  name: string,
  args: readonly string[] = [],
): Promise<CliProcess> {
  const home = join(cluster.directory, name);
  await mkdir(home, { recursive: true });
  const worker = cluster.start("worker", [
    ...["--name", name, "--work-dir", join(home, "work"), "--log-dir", join(home, "tmp_log")],
    ...args,
  ]);
  await worker.waitFor("Worker started");
  return worker;
}

/** The processes of the nodes that these daemons run. */
export async function nodeProcesses(daemons: readonly CliProcess[]): Promise<number[]> {
  const { stdout } = await promisify(execFile)("ps", ["-eo", "pid=,ppid=,args="]);
  const parents = new Set(daemons.map(({ pid }) => pid));
  return stdout
    .split("\n")
    .filter((line) => line.includes("node-process"))
    .map((line) => line.trim().split(/ +/, 2).map(Number))
    .flatMap(([pid, parent]) => (parents.has(parent!) ? [pid!] : []));
}

/** Rows of a trace file (`T-…` or `E-…`) of a node, by column. */
export async function readTrace(
  directory: string,
  kind: "T" | "E",
  nodeId: number,
): Promise<Readonly<Record<string, number>>[]> {
  const names = await readdir(directory);
  const name = names.find((each) => each.startsWith(`${kind}-`) && each.includes(`ID(${nodeId})`));
  if (name === undefined)
    throw new Error(`no ${kind}- file of node ${nodeId}: ${names.join(", ")}`);
  const [header, ...lines] = (await readFile(join(directory, name), "utf8")).trim().split("\n");
  const columns = header!.split(",");
  return lines.map((line) => {
    const values = line.split(",").map(Number);
    return Object.fromEntries(columns.map((column, index) => [column, values[index]!]));
  });
}

/** What the tests read of a manifest. */
export interface Manifest {
  readonly jobId: string;
  readonly files: readonly string[];
  readonly nodes: readonly {
    readonly nodeId: number;
    readonly state: string;
    readonly summary?: {
      readonly steps: number;
      readonly modelSha256?: string;
      readonly evaluation?: { readonly loss: number; readonly accuracy: number };
      readonly bytesSent: number;
    };
  }[];
}

/** The directory of the one job whose results are in `directory`, and its manifest. */
export async function readManifest(
  directory: string,
): Promise<{ home: string; manifest: Manifest }> {
  const names = (await readdir(directory)).filter((name) => name.startsWith("job-"));
  if (names.length !== 1) throw new Error(`expected one job, got ${names.join(", ") || "none"}`);
  const home = join(directory, names[0]!);
  const text = await readFile(join(home, "manifest.json"), "utf8");
  return { home, manifest: JSON.parse(text) as Manifest };
}

/** The weights of a safetensors file, in the order of the file: all float32, one after the other. */
export async function readSafetensors(path: string): Promise<Float32Array> {
  const file = await readFile(path);
  const headerLength = Number(file.readBigUInt64LE(0));
  const start = file.byteOffset + 8 + headerLength;
  return new Float32Array(file.buffer.slice(start, file.byteOffset + file.length));
}
