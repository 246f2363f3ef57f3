import { PsgdError, type Logger, type NodeId, type Transport, type WorkerInfo } from "@psgd/core";
import {
  JobClient,
  fetchResults,
  followJob,
  diskStore,
  listRecords,
  systemClock,
  systemRandom,
  watchConnection,
  type JobOutcome,
  type NodeRecord,
  type NodeResults,
} from "@psgd/runtime";
import { VERSION, type Cluster } from "./compose.js";
import { EXIT_CODES } from "./exit-codes.js";
import type { Interruption } from "./interruption.js";
import type { Output } from "./output.js";
import { saveResults } from "./save-results.js";

/** How long workers get to say that they are there. */
const DISCOVERY_MS = 2_000;

/** A worker in good health answers in a hundredth of this. */
const GLANCE_MS = 500;

/** The workers that answer: after a glance, or, if that does not find enough, a longer look. */
export async function findWorkers(
  { directory }: Cluster,
  isEnough: (found: readonly WorkerInfo[]) => boolean,
): Promise<readonly WorkerInfo[]> {
  const found = await directory.list({ timeoutMs: GLANCE_MS });
  if (isEnough(found)) return found;
  return directory.list({ timeoutMs: DISCOVERY_MS, enough: isEnough });
}

/** What these workers know of jobs, running and ended. */
export function findRecords(
  client: JobClient,
  workers: readonly WorkerInfo[],
  log: Logger,
): Promise<ReadonlyMap<string, readonly NodeRecord[]>> {
  const addresses = workers.map(({ address }) => address);
  return listRecords(client, systemClock, addresses, DISCOVERY_MS, log);
}

/** The exit code a detached submitter ends with: the job goes on, nothing is wrong. */
const DETACHED = EXIT_CODES.done;

/** Lends `use` this process's lines to the workers of a cluster; closes them and the cluster's transport after it. */
export async function withClient<T>(
  { transport }: Cluster,
  log: Logger,
  use: (client: JobClient) => Promise<T>,
): Promise<T> {
  const random = systemRandom();
  const address = `client.${random.uint32().toString(36)}${random.uint32().toString(36)}`;
  try {
    const client = await JobClient.open({ transport, clock: systemClock, random, address, log });
    try {
      return await use(client);
    } finally {
      await client.close();
    }
  } finally {
    await transport.close();
  }
}

/** The job's records by node, and where each node's worker is; asks everybody. */
export async function findJob(
  cluster: Cluster,
  client: JobClient,
  jobId: string,
  log: Logger,
): Promise<{ records: ReadonlyMap<NodeId, NodeRecord>; addresses: ReadonlyMap<NodeId, string> }> {
  // The full time: a worker that is missed is a result that is missed.
  const workers = await cluster.directory.list({ timeoutMs: DISCOVERY_MS });
  const found = await findRecords(client, workers, log);
  const records = new Map<NodeId, NodeRecord>();
  const addresses = new Map<NodeId, string>();
  for (const [address, all] of found) {
    for (const record of all.filter((each) => each.jobId === jobId)) {
      records.set(record.nodeId, record);
      addresses.set(record.nodeId, address);
    }
  }
  if (records.size > 0) return { records, addresses };
  const known = [...new Set([...found.values()].flat().map((record) => record.jobId))];
  throw new PsgdError(
    "JOB_UNKNOWN",
    `job ${jobId}: expected a job that one of the ${workers.length} workers which answer has kept, got none; the latest known: ${known.sort().reverse().slice(0, 3).join(", ") || "no job"}; see \`psgd jobs\``,
  );
}

export interface AttachOptions {
  readonly jobId: string;
  readonly client: JobClient;
  readonly transport: Transport;
  readonly addresses: ReadonlyMap<NodeId, string>;
  readonly output: Output;
  readonly interruption: Interruption;
  /** Whether the job goes on without us: then a first Ctrl-C leaves it. */
  readonly canDetach: boolean;
  readonly outputDirectory: string;
}

/** Shows a job until it ends, brings its results home, and says how it ended. @returns the exit code */
export async function attach(options: AttachOptions): Promise<number> {
  const { jobId, client, addresses, output, interruption } = options;
  const follower = followJob({
    jobId,
    client,
    addresses,
    observer: {
      onProgress: (nodeId, progress) => output.progress(nodeId, progress),
      onEnded: (record) => output.ended(record),
      onLost: (_nodeId, error) => output.log.error(error.message),
    },
  });
  const detached = interruption.follow(follower, options);
  let stopWatching = (): void => {};
  // However the job fares, it cannot be heard of without the broker.
  const cutOff = new Promise<never>((_, reject) => {
    const { transport } = options;
    stopWatching = watchConnection({
      transport,
      clock: systemClock,
      log: output.log,
      onLost: reject,
    });
  });
  let outcome: JobOutcome | undefined;
  try {
    outcome = await Promise.race([follower.outcome, detached, cutOff]);
  } catch (error) {
    output.log.info(`\`job-submit --retrieve ${jobId}\` brings home what the workers have kept.`);
    throw error;
  } finally {
    follower.detach();
    stopWatching();
    output.endProgress();
  }
  if (outcome === undefined) {
    output.detached(jobId);
    return DETACHED;
  }
  return conclude(outcome, options);
}

async function conclude(outcome: JobOutcome, options: AttachOptions): Promise<number> {
  const { jobId, client, addresses, output } = options;
  const results: NodeResults[] = [];
  let fetchError: unknown;
  for (const { nodeId } of outcome.records) {
    try {
      results.push(await fetchResults(client, systemClock, addresses.get(nodeId)!, jobId, nodeId));
    } catch (error) {
      fetchError ??= error;
    }
  }
  const saved = await saveResults({
    jobId,
    results,
    store: diskStore(options.outputDirectory),
    log: output.log,
    version: VERSION,
  }).catch((error: unknown) => {
    if (options.canDetach)
      output.log.info(
        `The workers keep the results: \`job-submit --retrieve ${jobId} --output-dir DIRECTORY\` puts them elsewhere.`,
      );
    throw error;
  });
  for (const { record } of results)
    client.send(addresses.get(record.nodeId)!, { type: "retrieved", jobId, nodeId: record.nodeId });
  output.finished(outcome, saved);
  if (outcome.error !== undefined) {
    if (options.interruption.isCancelled) return EXIT_CODES.interrupted;
    throw outcome.error;
  }
  // eslint-disable-next-line @typescript-eslint/only-throw-error -- what was caught is thrown as it came
  if (fetchError !== undefined) throw fetchError;
  return EXIT_CODES.done;
}
