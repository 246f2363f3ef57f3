import {
  PsgdError,
  errorCode,
  fromErrorRecord,
  nodeName,
  sleep,
  toErrorRecord,
  type Clock,
  type ErrorRecord,
  type Logger,
  type NodeId,
  type Random,
  type Transport,
  type WorkerInfo,
} from "@psgd/core";
import { LinkEndpoint, type Link } from "@psgd/transport";
import {
  PROTOCOL,
  digestsOf,
  nodesOf,
  type JobPackages,
  type JobSpec,
  type NodeProgress,
  type NodeRecord,
} from "./job.js";
import type { WorkerReply, WorkerRequest } from "./worker-protocol.js";

/** Which worker runs which node. */
export type Placement = ReadonlyMap<NodeId, WorkerInfo>;

export interface SubmitOptions {
  readonly jobId: string;
  readonly spec: JobSpec;
  readonly packages: JobPackages;
  readonly placement: Placement;
  readonly client: JobClient;
  readonly clock: Clock;
  readonly log: Logger;
  /** How long a worker may take to lease a slot. */
  readonly leaseTimeoutMs: number;
  /** How long all workers together may take to get their packages and be ready. */
  readonly readyTimeoutMs: number;
  readonly signal?: AbortSignal;
}

/** What one hears of a job. */
export interface JobObserver {
  onProgress(nodeId: NodeId, progress: NodeProgress): void;
  onEnded(record: NodeRecord): void;
  /** A worker is gone; whatever ran there has not ended properly. */
  onLost(nodeId: NodeId, error: PsgdError): void;
}

/** How a job ended. */
export interface JobOutcome {
  readonly jobId: string;
  readonly records: readonly NodeRecord[];
  /** What broke the job, if something did: the error of the node that met it first. */
  readonly error: PsgdError | undefined;
}

const CLOSE_WITHIN_MS = 3_000;

/** The client's end of the lines to workers: one link per worker. */
export class JobClient {
  readonly #endpoint: LinkEndpoint;
  readonly #clock: Clock;
  readonly #links = new Map<string, Link>();
  readonly #listeners = new Set<(address: string, reply: WorkerReply) => void>();
  readonly #lossListeners = new Set<(address: string, error: PsgdError) => void>();

  private constructor(endpoint: LinkEndpoint, clock: Clock) {
    this.#endpoint = endpoint;
    this.#clock = clock;
  }

  /** @param address - where the workers answer; unique among all clients */
  static async open(options: {
    transport: Transport;
    clock: Clock;
    random: Random;
    address: string;
    log: Logger;
  }): Promise<JobClient> {
    const endpoint = await LinkEndpoint.open({ ...options, onLink: (link) => void link.close() });
    return new JobClient(endpoint, options.clock);
  }

  /** Sends; to a worker that cannot be reached any more it goes nowhere, and who listens hears that it is lost. */
  send(address: string, request: WorkerRequest): void {
    let link = this.#links.get(address);
    if (link === undefined || link.isClosed) {
      const connected = this.#connect(address);
      if (connected === undefined) return;
      link = connected;
    }
    link.send(request);
  }

  #connect(address: string): Link | undefined {
    const onGone = (error: PsgdError): void => {
      for (const listener of [...this.#lossListeners]) listener(address, error);
    };
    let link: Link;
    try {
      link = this.#endpoint.connect(address);
    } catch (error) {
      // Thrown in the middle of rolling back, it would hide what that is for.
      if (errorCode(error) !== "TRANSPORT_CLOSED") throw error;
      onGone(error as PsgdError);
      return undefined;
    }
    this.#links.set(address, link);
    link.onMessage((value) => {
      for (const listener of [...this.#listeners]) listener(address, value as WorkerReply);
    });
    link.onLost(onGone);
    link.onClosed(() =>
      onGone(
        new PsgdError("TRANSPORT_CLOSED", `link to ${address}: closed; the worker has stopped`),
      ),
    );
    return link;
  }

  /** @returns stops listening */
  listen(
    onReply: (address: string, reply: WorkerReply) => void,
    onLost: (address: string, error: PsgdError) => void,
  ): () => void {
    this.#listeners.add(onReply);
    this.#lossListeners.add(onLost);
    return () => {
      this.#listeners.delete(onReply);
      this.#lossListeners.delete(onLost);
    };
  }

  /** Lets what was sent arrive, but waits for no worker that is gone. */
  async close(): Promise<void> {
    await Promise.race([this.#endpoint.close(), sleep(this.#clock, CLOSE_WITHIN_MS)]);
  }
}

/**
 * Submits a job in three phases, all or nothing: every worker leases a slot (*canCommit*), gets the packages it lacks
 * and prepares its node (*preCommit*), and only when all are ready all start (*doCommit*).
 *
 * @throws {PsgdError} COMMIT_REJECTED, COMMIT_TIMEOUT, NODE_LOST, or what a node failed with while it prepared; then
 *   every slot is free again
 */
export async function submitJob(options: SubmitOptions): Promise<void> {
  const { jobId, spec, packages, placement, client, clock, log } = options;
  const nodes = nodesOf(spec);
  const digests = digestsOf(packages);
  const submittedAt = clock.wallTime().toISOString();
  const addressOf = (nodeId: NodeId): string => placement.get(nodeId)!.address;
  const leased = new PhaseGate(nodes);
  const ready = new PhaseGate(nodes);
  const started = new PhaseGate(nodes);
  const failAll = (error: PsgdError): void => {
    for (const gate of [leased, ready, started]) gate.fail(error);
  };
  const stopListening = client.listen(
    (_address, reply) => {
      if (!("nodeId" in reply) || reply.jobId !== jobId) return;
      const { nodeId } = reply;
      switch (reply.type) {
        case "leased":
          leased.pass(nodeId);
          break;
        case "refused":
          failAll(fromErrorRecord(reply.error, "COMMIT_REJECTED"));
          break;
        case "requirement":
          log.info(`Reply requirements to node(${nodeId}), type(${reply.name}).`);
          client.send(addressOf(nodeId), {
            type: "package",
            jobId,
            nodeId,
            name: reply.name,
            content: reply.isHeld ? undefined : packages[reply.name],
          });
          break;
        case "ready":
          ready.pass(nodeId);
          log.info(
            `Node(${nodeId}) is ready, ${nodes.length} nodes total, {${ready.passed.join(", ")}} is ready.`,
          );
          break;
        case "started":
          started.pass(nodeId);
          break;
        case "event":
        case "ended":
        case "file":
        case "fetched":
      }
    },
    (address, cause) => {
      const nodeId = nodes.find((node) => addressOf(node) === address);
      if (nodeId !== undefined) failAll(lost(nodeId, placement, cause));
    },
  );
  const onAbort = (): void =>
    failAll(new PsgdError("JOB_CANCELLED", `job ${jobId}: called off before it started`));
  options.signal?.addEventListener("abort", onAbort, { once: true });
  try {
    if (options.signal?.aborted === true) onAbort();
    log.info("Try connecting to the cluster.");
    // One after the other and in the same order everywhere: of two submitters that want the same slots, one gets all.
    const ordered = [...nodes].sort((a, b) => (addressOf(a) < addressOf(b) ? -1 : 1));
    for (const nodeId of ordered) {
      client.send(addressOf(nodeId), { type: "canCommit", jobId, nodeId, protocol: PROTOCOL });
      await leased.passedBy([nodeId], clock, options.leaseTimeoutMs, (missing) =>
        timeout("canCommit", missing, placement, options.leaseTimeoutMs),
      );
    }
    log.info("Connection with cluster established.");
    for (const nodeId of nodes)
      client.send(addressOf(nodeId), {
        type: "preCommit",
        assignment: { jobId, nodeId, spec, packages: digests, submittedAt },
      });
    await ready.passedBy(nodes, clock, options.readyTimeoutMs, (missing) =>
      timeout("preCommit", missing, placement, options.readyTimeoutMs),
    );
    for (const nodeId of nodes) client.send(addressOf(nodeId), { type: "doCommit", jobId, nodeId });
    await started.passedBy(nodes, clock, options.leaseTimeoutMs, (missing) =>
      timeout("doCommit", missing, placement, options.leaseTimeoutMs),
    );
  } catch (error) {
    const record = toErrorRecord(error);
    for (const nodeId of nodes) {
      client.send(addressOf(nodeId), { type: "rollback", jobId, nodeId, reason: record.message });
      // Where a node has started already, rolling back means calling it off.
      client.send(addressOf(nodeId), { type: "cancel", jobId, error: record });
    }
    throw error;
  } finally {
    options.signal?.removeEventListener("abort", onAbort);
    stopListening();
  }
}

/** Between two attempts, so that workers in trouble are not asked without a pause. */
const TRY_AGAIN_MS = 250;

/**
 * Submits again where another submitter was faster: what was free when workers were looked for was lent when they were
 * asked. Each attempt looks anew, and is refused where nothing is free.
 *
 * @param attempt - places the job and submits it, each time under another id
 * @throws what an attempt rejects with for another reason, or after `forMs` milliseconds
 */
export async function tryAgainIfTaken<T>(
  { clock, log, forMs }: { readonly clock: Clock; readonly log: Logger; readonly forMs: number },
  attempt: () => Promise<T>,
): Promise<T> {
  const endsAt = clock.now() + forMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      const { code, message, details } = toErrorRecord(error);
      const isTaken = code === "COMMIT_REJECTED" && details["isTaken"] === true;
      if (!isTaken || clock.now() + TRY_AGAIN_MS >= endsAt) throw error;
      log.info(`${message}; looking for another worker.`);
    }
    await sleep(clock, TRY_AGAIN_MS);
  }
}

/** Follows a job that runs or has run, until every node has ended or is lost. */
export function followJob(options: {
  readonly jobId: string;
  readonly client: JobClient;
  /** Addresses of the workers that run its nodes. */
  readonly addresses: ReadonlyMap<NodeId, string>;
  readonly observer: JobObserver;
}): JobFollower {
  return new JobFollower(options.jobId, options.client, options.addresses, options.observer);
}

export class JobFollower {
  /** Resolves when every node has ended or is lost. */
  readonly outcome: Promise<JobOutcome>;
  readonly #jobId: string;
  readonly #client: JobClient;
  readonly #addresses: ReadonlyMap<NodeId, string>;
  readonly #observer: JobObserver;
  readonly #records = new Map<NodeId, NodeRecord>();
  readonly #lost = new Map<NodeId, PsgdError>();
  #resolve!: (outcome: JobOutcome) => void;
  readonly #stopListening: () => void;

  constructor(
    jobId: string,
    client: JobClient,
    addresses: ReadonlyMap<NodeId, string>,
    observer: JobObserver,
  ) {
    this.#jobId = jobId;
    this.#client = client;
    this.#addresses = addresses;
    this.#observer = observer;
    this.outcome = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.#stopListening = client.listen(
      (_address, reply) => this.#onReply(reply),
      (address, cause) => this.#onLost(address, cause),
    );
    for (const address of new Set(addresses.values()))
      client.send(address, { type: "attach", jobId });
  }

  /** Calls the job off everywhere. */
  cancel(error: PsgdError): void {
    for (const address of new Set(this.#addresses.values())) {
      this.#client.send(address, {
        type: "cancel",
        jobId: this.#jobId,
        error: toErrorRecord(error),
      });
    }
  }

  /** Leaves; the job goes on. */
  detach(): void {
    this.#stopListening();
  }

  #onReply(reply: WorkerReply): void {
    if (!("nodeId" in reply) || reply.jobId !== this.#jobId) return;
    if (reply.type === "event" && reply.event.type === "progress")
      this.#observer.onProgress(reply.nodeId, reply.event.progress);
    if (reply.type === "ended" && !this.#records.has(reply.nodeId)) {
      this.#records.set(reply.nodeId, reply.record);
      this.#observer.onEnded(reply.record);
      this.#settle();
    }
  }

  #onLost(address: string, cause: PsgdError): void {
    for (const [nodeId, at] of this.#addresses) {
      if (at !== address || this.#records.has(nodeId) || this.#lost.has(nodeId)) continue;
      const error = new PsgdError(
        "NODE_LOST",
        `${nodeName(nodeId)}: expected its worker to be there, got no sign of life; ${address}; ` +
          `look at that machine and its log, and submit the job again; started again, the worker still has what the node wrote: \`job-submit --retrieve ${this.#jobId}\``,
        { details: { node: nodeId }, cause },
      );
      this.#lost.set(nodeId, error);
      this.#observer.onLost(nodeId, error);
      this.cancel(error);
    }
    this.#settle();
  }

  #settle(): void {
    if (this.#records.size + this.#lost.size < this.#addresses.size) return;
    this.#stopListening();
    const records = [...this.#records.values()].sort((a, b) => a.nodeId - b.nodeId);
    this.#resolve({
      jobId: this.#jobId,
      records,
      error: rootCause([...this.#lost.values()], records),
    });
  }
}

/** Of all errors of a job, the one the others follow from: not one that was relayed or is the cancelling itself. */
function rootCause(
  lost: readonly PsgdError[],
  records: readonly NodeRecord[],
): PsgdError | undefined {
  const errors = records.flatMap(({ error }) => (error === undefined ? [] : [error]));
  const isOwn = (error: ErrorRecord): boolean => error.details["isRelayed"] !== true;
  const own = errors.filter((error) => isOwn(error) && errorCode(error) !== "NODE_LOST");
  const first = own[0] ?? lost[0] ?? errors.find(isOwn) ?? errors[0];
  if (first === undefined) return undefined;
  return first instanceof PsgdError ? first : fromErrorRecord(first);
}

/** Where nodes pass one by one, or one fails for all. */
class PhaseGate {
  readonly #waiting: Set<NodeId>;
  readonly #passed: NodeId[] = [];
  #error: PsgdError | undefined;
  #onChange: () => void = () => {};

  constructor(nodes: readonly NodeId[]) {
    this.#waiting = new Set(nodes);
  }

  get passed(): readonly NodeId[] {
    return [...this.#passed].sort((a, b) => a - b);
  }

  pass(nodeId: NodeId): void {
    if (this.#waiting.delete(nodeId)) this.#passed.push(nodeId);
    this.#onChange();
  }

  fail(error: PsgdError): void {
    this.#error ??= error;
    this.#onChange();
  }

  /** Waits until all of `nodes` have passed. */
  passedBy(
    nodes: readonly NodeId[],
    clock: Clock,
    timeoutMs: number,
    timeoutError: (missing: readonly NodeId[]) => PsgdError,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const missing = (): readonly NodeId[] => nodes.filter((node) => this.#waiting.has(node));
      const cancel = clock.setTimer(timeoutMs, () => this.fail(timeoutError(missing())));
      this.#onChange = () => {
        if (this.#error === undefined && missing().length > 0) return;
        cancel();
        if (this.#error === undefined) resolve();
        else reject(this.#error);
      };
      this.#onChange();
    });
  }
}

function lost(nodeId: NodeId, placement: Placement, cause: PsgdError): PsgdError {
  const worker = placement.get(nodeId)!.name;
  return new PsgdError(
    "NODE_LOST",
    `${nodeName(nodeId)}: expected a sign of life while the job is being set up, got none; worker ${worker}, ${cause.message}; look at its log, or submit again without it`,
    {
      details: { node: nodeId },
      cause,
    },
  );
}

function timeout(
  phase: string,
  missing: readonly NodeId[],
  placement: Placement,
  ms: number,
): PsgdError {
  const who = missing
    .map((node) => `${nodeName(node)} on worker ${placement.get(node)!.name}`)
    .join(", ");
  return new PsgdError(
    "COMMIT_TIMEOUT",
    `${phase}: expected an answer within ${ms} ms, got none from ${who}; all workers were rolled back; look at the log there, and submit again`,
  );
}
