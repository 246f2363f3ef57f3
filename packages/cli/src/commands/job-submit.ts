import { constants } from "node:fs";
import { access, mkdir } from "node:fs/promises";
import { resolve } from "node:path";
import type { Argv } from "yargs";
import { PsgdError, errorCode, nodeName, toErrorRecord, type NodeId } from "@psgd/core";
import {
  nodesOf,
  placeNodes,
  submitJob,
  systemClock,
  systemRandom,
  tryAgainIfTaken,
  type Placement,
  type WorkerFile,
} from "@psgd/runtime";
import { buildJob, type BuiltJob } from "../build-job.js";
import { bandwidthOf, dryRun, dryRunReport, type NetworkSpeed } from "../dry-run.js";
import { AUTO_ENGINE, DEFAULT_NATS_URL, connectCluster, type Cluster } from "../compose.js";
import { echoLines } from "../echo.js";
import { EXIT_CODES } from "../exit-codes.js";
import { jobRequestOf, withJobOptions, withUnderscores } from "../job-options.js";
import { Interruption } from "../interruption.js";
import { attach, findJob, findWorkers, withClient } from "../job-session.js";
import { bytesText } from "../live-display.js";
import { startLocalCluster } from "../local-cluster.js";
import { jsonOutput, textOutput, type Output } from "../output.js";
import { readWorkerFile } from "../worker-file.js";

const WORKER_FILE = "worker.json";

/** A worker that is alive leases at once; one that does not is not. */
const LEASE_TIMEOUT_MS = 7_000;

/** Options by what they are for, in the order of the help. */
const OPTION_GROUPS = {
  "Codec:": ["codec", "server-codec", "codec-map", "per-tensor", "param", "codec-timeout"],
  "Exchange:": [
    ...["node-count", "redundancy", "block-assignment"],
    ...["optimizer", "psgd", "staleness", "sync-timeout"],
  ],
  "Training:": [
    ...[
      "model",
      "dataset",
      "input",
      "non-iid",
      "shards",
      "image-classification",
      "batch-size",
      "epochs",
    ],
    ...["steps", "target-accuracy", "gradient-descent", "learn-rate", "freeze", "seed", "engine"],
  ],
  "Where it runs:": ["local", "workers", "nats", "network-bandwidth"],
  "Without running it:": ["dry-run", "bandwidth", "latency-ms"],
  "A job that was submitted:": ["detach", "retrieve", "cancel"],
  "Output:": ["output-dir", "json"],
};

const EXAMPLES: [string, string][] = [
  ["job-submit --local --node-count 2 --dataset digits", "a job on this machine alone"],
  ["job-submit --codec plain.Plain --node-count 4", "a job on the workers of a cluster"],
  ["job-submit --codec mine.Mine --param bits=8", "a codec of your own, with a parameter"],
  ["job-submit --node-count 2 --detach", "start it and leave"],
  ["job-submit --retrieve JOB", "bring its results home; `psgd jobs` lists the ids"],
];

/** Adds the submitter's options. */
export function withSubmitOptions(parser: Argv): Argv {
  const grouped = Object.entries(OPTION_GROUPS).reduce(
    (result, [title, names]) => result.group(names, title),
    withAllOptions(parser),
  );
  return grouped
    .example(EXAMPLES)
    .epilogue(
      "Options with hyphens may be spelt with underscores. README.md lists the exit codes.",
    );
}

function withAllOptions(parser: Argv): Argv {
  return withJobOptions(parser)
    .option("nats", {
      type: "string",
      requiresArg: true,
      default: process.env["NATS_URL"] ?? DEFAULT_NATS_URL,
      describe: "URL of the nats-server, several with commas (also NATS_URL)",
    })
    .option("workers", {
      type: "string",
      requiresArg: true,
      describe: `file that names the machines; by default ${WORKER_FILE} if it is there, else idle workers are taken`,
    })
    .option(
      "network-bandwidth",
      withUnderscores("network-bandwidth", {
        type: "number",
        default: 180,
        describe: "Mbit/s to the workers: bounds how long sending the job may take",
      }),
    )
    .option("local", {
      type: "boolean",
      describe: "run all nodes as threads of this process; needs neither server nor workers",
    })
    .option(
      "dry-run",
      withUnderscores("dry-run", {
        type: "boolean",
        describe: "say what the job would send, need and wait for, and send nothing",
      }),
    )
    .option("bandwidth", {
      type: "string",
      requiresArg: true,
      default: "1Gbit",
      describe: "with --dry-run: of each node's connection, as in 100Mbit",
    })
    .option(
      "latency-ms",
      withUnderscores("latency-ms", {
        type: "number",
        default: 1,
        describe: "with --dry-run: of a message on its way",
      }),
    )
    .option("detach", {
      type: "boolean",
      describe: "leave when the job has started; it goes on",
    })
    .option("retrieve", {
      type: "string",
      requiresArg: true,
      describe: "wait for this job to end and bring its results home",
    })
    .option("cancel", { type: "string", requiresArg: true, describe: "stop this job" })
    .option(
      "output-dir",
      withUnderscores("output-dir", {
        type: "string",
        default: ".",
        describe: "directory for results; logs go into its tmp_log",
      }),
    )
    .option("json", {
      type: "boolean",
      default: false,
      describe: "print one JSON value a line, for programs",
    })
    .conflicts("local", ["detach", "retrieve", "cancel", "workers"])
    .conflicts("retrieve", ["cancel", "detach"])
    .conflicts("dry-run", ["detach", "retrieve", "cancel"]);
}

/** Submits, retrieves or cancels. @returns the exit code */
export async function runJobSubmit(args: Readonly<Record<string, unknown>>): Promise<number> {
  const outputDirectory = resolve(args["output-dir"] as string);
  const output =
    args["json"] === true ? jsonOutput() : textOutput(resolve(outputDirectory, "tmp_log"));
  try {
    const retrieve = args["retrieve"] as string | undefined;
    const cancel = args["cancel"] as string | undefined;
    if (retrieve !== undefined) return await retrieveJob(args, retrieve, output, outputDirectory);
    if (cancel !== undefined) return await cancelJob(args, cancel, output);
    return await submit(args, output, outputDirectory);
  } catch (error) {
    // The caller says it to the user.
    output.endProgress();
    throw error;
  } finally {
    await output.close();
  }
}

async function submit(
  args: Readonly<Record<string, unknown>>,
  output: Output,
  outputDirectory: string,
): Promise<number> {
  const request = jobRequestOf(args);
  const network = networkOf(args);
  const job = await buildJob(request, { log: output.log, onDownload: downloadReporter(output) });
  const { spec, packages } = job;
  if (args["dry-run"] === true) {
    const run = await dryRun(job, network);
    process.stdout.write(
      args["json"] === true
        ? `${JSON.stringify({ type: "dry-run", ...run })}\n`
        : dryRunReport(run),
    );
    return EXIT_CODES.done;
  }
  await requireWritable(outputDirectory);
  for (const line of echoLines(spec)) output.log.info(line);
  if (job.dataset.synthetic)
    output.log.info(
      `Dataset ${spec.dataset} is synthetic: made by this program from a seed, it stands for nothing measured.`,
    );
  const isLocal = args["local"] === true;
  using interruption = new Interruption();
  const local = isLocal ? await startLocalCluster(spec) : undefined;
  const cluster: Cluster = local ?? (await connectCluster(args["nats"] as string, "job-submit"));
  let keepFiles = false;
  try {
    return await withClient(cluster, output.log, async (client) => {
      const { log } = output;
      const file = isLocal ? undefined : await workerFileOf(args);
      // Machines that are named are wanted, and no others.
      const waiting = { clock: systemClock, log, forMs: file === undefined ? LEASE_TIMEOUT_MS : 0 };
      const { jobId, placement } = await tryAgainIfTaken(waiting, async () => {
        const placement = await place(cluster, job, file);
        for (const [nodeId, worker] of placement) {
          log.info(
            `Add worker (Rule: ${nodeId < 0 ? "PS" : "Worker"}, Id: ${nodeId}, Address: ${worker.name}).`,
          );
        }
        const jobId = newJobId();
        await submitJob({
          jobId,
          spec,
          packages,
          placement,
          client,
          clock: systemClock,
          log,
          leaseTimeoutMs: LEASE_TIMEOUT_MS,
          readyTimeoutMs: readyTimeoutMs(job, args["network-bandwidth"] as number),
          signal: interruption.signal,
        });
        return { jobId, placement };
      });
      output.submitted(jobId, spec);
      if (args["detach"] === true) {
        output.detached(jobId);
        return EXIT_CODES.done;
      }
      const addresses = new Map<NodeId, string>(
        [...placement].map(([nodeId, { address }]) => [nodeId, address]),
      );
      const { transport } = cluster;
      const canDetach = !isLocal;
      try {
        return await attach({
          jobId,
          client,
          transport,
          addresses,
          output,
          interruption,
          canDetach,
          outputDirectory,
        });
      } catch (error) {
        if (local !== undefined && errorCode(error) === "STORE_FAILED") {
          keepFiles = true;
          output.log.info(`What the nodes have written stays in ${local.workDirectory}.`);
        }
        throw error;
      }
    });
  } catch (error) {
    if (interruption.signal.aborted) {
      output.log.error(toErrorRecord(error).message);
      return EXIT_CODES.interrupted;
    }
    throw error;
  } finally {
    await local?.close({ keepFiles });
  }
}

/** The network that a dry run reckons with. */
function networkOf(args: Readonly<Record<string, unknown>>): NetworkSpeed {
  const bytesPerSec = bandwidthOf(args["bandwidth"] as string);
  const latencyMs = args["latency-ms"] as number;
  if (bytesPerSec === undefined) {
    throw new PsgdError(
      "SETTINGS_INVALID",
      `\`--bandwidth\`: expected a number and kbit, Mbit or Gbit, as in 1Gbit, got ${JSON.stringify(args["bandwidth"])}; see \`--help\``,
    );
  }
  if (!(latencyMs >= 0 && Number.isFinite(latencyMs))) {
    throw new PsgdError(
      "SETTINGS_INVALID",
      `\`--latency-ms\`: expected a number from 0, got ${latencyMs}; see \`--help\``,
    );
  }
  return { bytesPerSec, latencyMs };
}

/** Hours of training must not end at a directory that takes no results. */
async function requireWritable(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true });
    await access(directory, constants.W_OK);
  } catch (cause) {
    throw new PsgdError(
      "STORE_FAILED",
      `${directory}: expected a directory that can be written, got ${toErrorRecord(cause).message}; give another \`--output-dir\``,
      { cause },
    );
  }
}

function workerFileOf(args: Readonly<Record<string, unknown>>): Promise<WorkerFile | undefined> {
  const named = args["workers"] as string | undefined;
  return readWorkerFile(named ?? WORKER_FILE, named !== undefined);
}

async function place(
  cluster: Cluster,
  job: BuiltJob,
  file: WorkerFile | undefined,
): Promise<Placement> {
  const nodes = nodesOf(job.spec);
  const engine = job.spec.engine === AUTO_ENGINE ? undefined : job.spec.engine;
  const workers = await findWorkers(cluster, (found) => {
    try {
      placeNodes(nodes, found, file, engine);
      return true;
    } catch {
      // Others may still answer; if not, the same refusal is thrown below.
      return false;
    }
  });
  return placeNodes(nodes, workers, file, engine);
}

/** The original's rule (package size × nodes / bandwidth), and time for each node to start and compile. */
function readyTimeoutMs(job: BuiltJob, bandwidthMbit: number): number {
  if (!(bandwidthMbit > 0))
    throw new PsgdError(
      "SETTINGS_INVALID",
      `\`--network-bandwidth\`: expected Mbit/s, more than 0, got ${bandwidthMbit}`,
    );
  const bytes = Object.values(job.packages).reduce((sum, content) => sum + content.length, 0);
  return 60_000 + (1000 * 8 * bytes * nodesOf(job.spec).length) / (bandwidthMbit * 1e6);
}

async function retrieveJob(
  args: Readonly<Record<string, unknown>>,
  jobId: string,
  output: Output,
  outputDirectory: string,
): Promise<number> {
  await requireWritable(outputDirectory);
  using interruption = new Interruption();
  const cluster = await connectCluster(args["nats"] as string, "job-submit --retrieve");
  return await withClient(cluster, output.log, async (client) => {
    const { records, addresses } = await findJob(cluster, client, jobId, output.log);
    const [first] = records.values();
    for (const nodeId of nodesOf(first!.spec)) {
      if (!records.has(nodeId))
        output.log.warn(
          `${nodeName(nodeId)}: no worker that answers has kept its results; the others are fetched.`,
        );
      else output.log.info(`Acquire log file from worker(${nodeId}).`);
    }
    const { transport } = cluster;
    return attach({
      jobId,
      client,
      transport,
      addresses,
      output,
      interruption,
      canDetach: true,
      outputDirectory,
    });
  });
}

async function cancelJob(
  args: Readonly<Record<string, unknown>>,
  jobId: string,
  output: Output,
): Promise<number> {
  const cluster = await connectCluster(args["nats"] as string, "job-submit --cancel");
  return await withClient(cluster, output.log, async (client) => {
    const { records, addresses } = await findJob(cluster, client, jobId, output.log);
    if ([...records.values()].every((record) => record.finishedAt !== undefined)) {
      output.log.info(
        `Job ${jobId} has ended already; \`job-submit --retrieve ${jobId}\` brings its results home.`,
      );
      return EXIT_CODES.done;
    }
    const error = new PsgdError(
      "JOB_CANCELLED",
      `job ${jobId}: cancelled by \`job-submit --cancel\``,
    );
    for (const address of new Set(addresses.values()))
      client.send(address, { type: "cancel", jobId, error: toErrorRecord(error) });
    output.log.info(`Killing process on {${[...addresses.keys()].join(", ")}}`);
    return EXIT_CODES.done;
  });
}

/** Readable, sortable by time, and unlike any other: its random part has 32 bits. */
function newJobId(): string {
  const time = systemClock.wallTime().toISOString();
  const stamp = `${time.slice(0, 10)}-${time.slice(11, 19)}`
    .replaceAll(/[-:]/g, "")
    .replace(/^(\d{8})/, "$1-");
  return `${stamp}-${systemRandom().uint32().toString(36).padStart(7, "0")}`;
}

function downloadReporter(
  output: Output,
): (progress: { file: string; receivedBytes: number; totalBytes: number | undefined }) => void {
  let nextAt = 0;
  return ({ file, receivedBytes, totalBytes }) => {
    const now = systemClock.now();
    if (now < nextAt && receivedBytes !== totalBytes) return;
    nextAt = now + 1_000;
    output.log.info(
      `Downloading ${file}: ${bytesText(receivedBytes)}${totalBytes === undefined ? "" : ` of ${bytesText(totalBytes)}`}`,
    );
  };
}
