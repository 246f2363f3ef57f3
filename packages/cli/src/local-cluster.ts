import { mkdtemp, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { disableTelemetry, probeEngines, type EngineName } from "@psgd/compute";
import { SILENT, fromErrorRecord, toErrorRecord } from "@psgd/core";
import {
  WorkerDaemon,
  diskStore,
  nodesOf,
  systemClock,
  systemRandom,
  threadNodeHost,
  type JobSpec,
} from "@psgd/runtime";
import { MemoryNetwork } from "@psgd/transport";
import { AUTO_ENGINE, DEFAULT_ENGINE, VERSION, type Cluster } from "./compose.js";
import type { NodeThreadConfig } from "./node-thread.js";

const NODE_THREAD = fileURLToPath(new URL("./node-thread.js", import.meta.url));

/**
 * So many nodes have a thread each, as they have processes of their own in a cluster. More of them share one per core:
 * a thread takes time to start, and has its own copies of the data set and of the compiled plans.
 */
const MOST_THREADS = 16;

/** A cluster inside this process: one worker whose nodes are threads or share some, over the memory transport. */
export interface LocalCluster extends Cluster {
  /** Where its nodes keep what they write. */
  readonly workDirectory: string;
  close(options: { keepFiles: boolean }): Promise<void>;
}

/** @throws {PsgdError} BACKEND_UNAVAILABLE if the job's engine does not work here */
export async function startLocalCluster(spec: JobSpec): Promise<LocalCluster> {
  disableTelemetry();
  await requireEngine(spec.engine);
  const slots = nodesOf(spec).length;
  const threadCount =
    slots <= MOST_THREADS ? slots : Math.min(MOST_THREADS, availableParallelism());
  const workDirectory = await mkdtemp(join(tmpdir(), "psgd-local-"));
  const network = new MemoryNetwork();
  const directory = network.directory(systemClock);
  const config: NodeThreadConfig = { workDirectory };
  const daemon = await WorkerDaemon.start({
    info: {
      workerId: "local",
      name: "local",
      version: VERSION,
      hosts: [],
      engines: [spec.engine],
      labels: {},
      slots,
    },
    transport: network.connect(),
    directory,
    store: diskStore(workDirectory),
    host: threadNodeHost({
      entry: NODE_THREAD,
      config,
      threadCount,
      nodesPerThread: Math.ceil(slots / threadCount),
      attach: (port) => network.attach(port),
    }),
    clock: systemClock,
    random: systemRandom(),
    log: SILENT,
  });
  return {
    transport: network.connect(),
    // Its one worker is there from the beginning: nobody needs to wait whether others answer.
    directory: {
      announce: (info) => directory.announce(info),
      list: ({ timeoutMs }) => directory.list({ timeoutMs, enough: () => true }),
    },
    workDirectory,
    async close({ keepFiles }) {
      await daemon.stop(0);
      if (!keepFiles) await rm(workDirectory, { recursive: true, force: true });
    },
  };
}

/** The default engine is not tried, for a quick start: its nodes say what is wrong. */
async function requireEngine(name: string): Promise<void> {
  if (name === DEFAULT_ENGINE || name === AUTO_ENGINE) return;
  const [probe] = await probeEngines({ names: [name as EngineName] });
  if (probe!.isAvailable) return;
  throw fromErrorRecord(toErrorRecord({ message: probe!.reason }), "BACKEND_UNAVAILABLE");
}
