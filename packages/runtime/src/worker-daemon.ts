import {
  PsgdError,
  nodeName,
  sleep,
  toErrorRecord,
  type Clock,
  type ErrorCode,
  type ErrorRecord,
  type Listener,
  type Logger,
  type NodeId,
  type Random,
  type Store,
  type Transport,
  type WorkerDirectory,
  type WorkerInfo,
} from "@psgd/core";
import { LinkEndpoint, type Link } from "@psgd/transport";
import {
  PACKAGE_NAMES,
  PROTOCOL,
  nodeAddress,
  nodesOf,
  sha256,
  type NodeAssignment,
  type NodeRecord,
  type NodeState,
  type PackageName,
} from "./job.js";
import { NodeRecords } from "./node-records.js";
import type { PeerMessage } from "./node/mesh.js";
import type { NodeEvent } from "./node/node-world.js";
import type { NodeHandle, NodeHost } from "./node-host.js";
import { PackageShelf } from "./package-shelf.js";
import { PlanService, type StartPlanProcess } from "./plan-service.js";
import { nodeKey, packageKey, recordKey, resultKey } from "./worker-store.js";
import { readWorkerRequest, type WorkerReply } from "./worker-protocol.js";

export interface WorkerDaemonOptions {
  readonly info: Omit<WorkerInfo, "address" | "protocol" | "freeSlots" | "jobs">;
  readonly transport: Transport;
  readonly directory: WorkerDirectory;
  readonly store: Store;
  readonly host: NodeHost;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Makes a package from what this machine has anyway (a data set in its own data directory), or says it cannot. */
  readonly provide?: (sha256: string) => Promise<Uint8Array | undefined>;
  /** Runs the plans that callers send; without it the worker takes none. */
  readonly startPlans?: StartPlanProcess;
}

/** A node that was asked to stop and has not is killed after this. */
const STOP_GRACE_MS = 3_000;

/** So long a worker that is stopping waits for submitters that watch to fetch what has just ended. */
const LAST_FETCH_MS = 5_000;

const PACKAGES_OF_ONE_JOB = [
  "global_setting_package",
  "weights_and_layers_package",
  "misc_package",
] as const satisfies readonly PackageName[];

/** How long the peers of a node that died get to hear of it. */
const LAST_WORDS_MS = 2_000;

/**
 * A worker: announces itself, lends slots to jobs in three phases, runs each node in a process (or thread) of its
 * own, tells whoever is attached what happens, and keeps results until they are fetched.
 *
 * Concurrency: everything runs on one event loop. A session belongs to the link that opened it until `doCommit`; a
 * link that is lost or closed before then rolls the session back, one lost after it changes nothing.
 */
export class WorkerDaemon {
  readonly #options: WorkerDaemonOptions;
  readonly #sessions = new Map<string, Session>();
  readonly #attached = new Map<string, Set<Link>>();
  /** What is being worked on: requests, and tidying up after them. */
  readonly #handling = new Set<Promise<void>>();
  readonly #plans: PlanService | undefined;
  readonly #records: NodeRecords;
  readonly #shelf: PackageShelf;
  #endpoint: LinkEndpoint | undefined;
  #announcement: Listener | undefined;
  #isStopping = false;
  #onIdle: () => void = () => {};
  #onUnattached: () => void = () => {};

  private constructor(options: WorkerDaemonOptions) {
    this.#options = options;
    this.#records = new NodeRecords(options);
    this.#shelf = new PackageShelf(options.store, (digest) => this.#usesPackage(digest));
    const { startPlans: start, log } = options;
    const address = `plans.${options.info.workerId}`;
    this.#plans = start === undefined ? undefined : new PlanService({ address, start, log });
  }

  /** Connects, settles what an earlier run of this worker left behind, and announces itself. */
  static async start(options: WorkerDaemonOptions): Promise<WorkerDaemon> {
    const daemon = new WorkerDaemon(options);
    await daemon.#records.settleInterrupted(options.info.name);
    await daemon.#shelf.prune();
    daemon.#endpoint = await LinkEndpoint.open({
      transport: options.transport,
      clock: options.clock,
      random: options.random,
      address: daemon.#address,
      log: options.log,
      onLink: (link) => daemon.#serve(link),
    });
    daemon.#announcement = await options.directory.announce(() => daemon.info());
    return daemon;
  }

  info(): WorkerInfo {
    return {
      ...this.#options.info,
      address: this.#address,
      protocol: PROTOCOL,
      freeSlots: this.#isStopping ? 0 : Math.max(0, this.#options.info.slots - this.#sessions.size),
      jobs: [...new Set([...this.#sessions.values()].map((session) => session.jobId))],
    };
  }

  /**
   * Takes no new jobs, waits up to `graceMs` for the nodes that run, hands back those that have not finished (their
   * job learns that the node is lost; what they wrote is kept), and says goodbye.
   */
  async stop(graceMs: number): Promise<void> {
    this.#isStopping = true;
    this.#announcement?.close();
    const { clock, log, info } = this.#options;
    for (const session of this.#sessions.values())
      if (!session.isCommitted) await this.#rollBack(session, "the worker is shutting down");
    if (this.#sessions.size > 0)
      log.info(
        `Waiting up to ${Math.round(graceMs / 1000)} s for ${this.#sessions.size} running node(s).`,
      );
    await Promise.race([this.#idle(), sleep(clock, graceMs)]);
    for (const session of this.#sessions.values()) {
      const error = new PsgdError(
        "NODE_LOST",
        `${nodeName(session.nodeId)}: expected its worker to see the job through, got its shutdown; worker ${info.name}; submit the job again, and let \`worker --grace\` be longer if it should have ended first`,
        { details: { node: session.nodeId } },
      );
      await this.#tellPeers(session, toErrorRecord(error));
      this.#stopNode(session, toErrorRecord(error));
    }
    await Promise.race([this.#idle(), sleep(clock, STOP_GRACE_MS + LAST_WORDS_MS)]);
    await Promise.race([this.#unattached(), sleep(clock, LAST_FETCH_MS)]);
    this.#plans?.stop();
    this.#records.stop();
    await this.#endpoint?.close();
    // Who stops us may remove the store's directory next.
    await Promise.race([Promise.all(this.#handling), sleep(clock, LAST_WORDS_MS)]);
    await this.#options.host.close();
  }

  get #address(): string {
    return `worker.${this.#options.info.workerId}`;
  }

  #serve(link: Link): void {
    link.onMessage((value) => {
      this.#track(this.#handle(link, value), `Request from ${link.peerAddress} failed`);
    });
    const onGone = (): void => this.#track(this.#forget(link), `End of ${link.peerAddress}`);
    link.onLost(onGone);
    link.onClosed(onGone);
  }

  /** What is worked on; if it fails, that is said under a title. */
  #track(work: Promise<void>, title: string): void {
    const handled = work
      .catch((error: unknown) => {
        this.#options.log.error(`${title}: ${toErrorRecord(error).message}`);
      })
      .finally(() => this.#handling.delete(handled));
    this.#handling.add(handled);
  }

  async #handle(link: Link, value: unknown): Promise<void> {
    const request = readWorkerRequest(value);
    switch (request.type) {
      case "canCommit":
        this.#lease(link, request);
        return;
      case "preCommit":
        return this.#prepare(link, request.assignment);
      case "package":
        this.#sessionOf(request)?.onPackage(request.name, request.content);
        return;
      case "doCommit":
        return this.#commit(link, request);
      case "rollback": {
        const session = this.#sessionOf(request);
        if (session?.link === link && !session.isCommitted)
          await this.#rollBack(session, request.reason);
        return;
      }
      case "attach":
        return this.#attach(link, request.jobId);
      case "cancel":
        for (const session of this.#sessions.values()) {
          if (session.jobId === request.jobId) this.#stopNode(session, request.error);
        }
        return;
      case "records":
        this.#reply(link, { type: "records", records: await this.#records.all() });
        return;
      case "fetch":
        return this.#sendResults(link, request);
      case "retrieved":
        return this.#records.markRetrieved(request);
      case "plans":
        return this.#servePlans(link);
    }
  }

  // Phase 1: a slot is leased to this link's session, or refused with the reason.
  #lease(link: Link, request: { jobId: string; nodeId: NodeId; protocol: number }): void {
    const { jobId, nodeId } = request;
    const { name, slots, version } = this.#options.info;
    const refuse = (
      text: string,
      { code = "COMMIT_REJECTED", isTaken = false }: { code?: ErrorCode; isTaken?: boolean } = {},
    ): void => {
      const error = new PsgdError(code, `worker ${name}: ${text}`, {
        details: { worker: name, node: nodeId, isTaken },
      });
      this.#options.log.info(`Job ${jobId} refused: ${error.message}`);
      this.#reply(link, { type: "refused", jobId, nodeId, error: toErrorRecord(error) });
    };
    if (request.protocol !== PROTOCOL) {
      refuse(
        `expected protocol ${PROTOCOL} (version ${version}), got protocol ${request.protocol}; install the same version on both sides`,
        { code: "WIRE_VERSION" },
      );
      return;
    }
    if (this.#isStopping) {
      refuse("expected a running worker, got one that is shutting down; submit again", {
        isTaken: true,
      });
      return;
    }
    const busy = this.#sessions.size;
    if (busy >= slots) {
      const jobs = this.info().jobs.join(", ");
      refuse(
        `expected a free slot, got ${busy} of ${slots} in use by job ${jobs}; wait, or run \`job-submit --cancel ${this.info().jobs[0] ?? ""}\``,
        { isTaken: true },
      );
      return;
    }
    if (this.#sessionOf(request) !== undefined) {
      refuse(`expected ${nodeName(nodeId)} of job ${jobId} once, got it twice`);
      return;
    }
    this.#sessions.set(keyOf(jobId, nodeId), new Session(jobId, nodeId, link));
    this.#options.log.info("ACK job submission.");
    this.#reply(link, { type: "leased", jobId, nodeId });
  }

  // Phase 2: ask for each package (its bytes only if they are not here), then start the node and have it prepare.
  async #prepare(link: Link, assignment: NodeAssignment): Promise<void> {
    const { jobId, nodeId } = assignment;
    const session = this.#sessionOf(assignment);
    if (session === undefined || session.link !== link || session.assignment !== undefined) return;
    session.assignment = assignment;
    try {
      await this.#requireNew(assignment);
      for (const name of PACKAGE_NAMES) {
        await this.#obtain(session, assignment, name);
        if (isOver(session)) return;
      }
      session.hasDirectory = true;
      await this.#records.write(this.#recordOf(session, "prepared"));
      // Rolled back while that was written: nobody would ever stop a node that starts now.
      if (isOver(session)) {
        await this.#removeDirectory(session);
        return;
      }
      session.handle = this.#options.host.start(assignment, {
        onEvent: (event) => this.#onNodeEvent(session, event),
        onExit: (reason) => void this.#onNodeExit(session, reason),
      });
    } catch (error) {
      if (session.isOver) return;
      this.#reply(link, { type: "refused", jobId, nodeId, error: toErrorRecord(error) });
      await this.#rollBack(session, toErrorRecord(error).message);
    }
  }

  /** What a job left here is kept until it is fetched: no other may come under its name. */
  async #requireNew({ jobId, nodeId }: NodeAssignment): Promise<void> {
    if ((await this.#options.store.read(recordKey(jobId, nodeId))) === undefined) return;
    throw new PsgdError(
      "COMMIT_REJECTED",
      `worker ${this.#options.info.name}: expected a new job, got ${nodeName(nodeId)} of job ${jobId}, which it has run already; submit under another id`,
      { details: { node: nodeId } },
    );
  }

  /** One node after the other: what the first one gets, the next ones find here. */
  async #obtain(session: Session, assignment: NodeAssignment, name: PackageName): Promise<void> {
    const digest = assignment.packages[name];
    await this.#shelf.use(digest, async () => {
      if (!session.isOver) await this.#obtainInTurn(session, digest, name);
    });
  }

  async #obtainInTurn(session: Session, digest: string, name: PackageName): Promise<void> {
    const { store, log, provide } = this.#options;
    const key = packageKey(digest);
    let isHeld = (await store.list(key)).some((entry) => entry.key === key);
    if (!isHeld) {
      const own = await provide?.(digest);
      if (own !== undefined) {
        await store.write(key, own);
        isHeld = true;
      }
    }
    log.info(`Request data: (${name})${isHeld ? ", held already" : ""}`);
    const answer = session.expectPackage(name);
    this.#reply(session.link, {
      type: "requirement",
      jobId: session.jobId,
      nodeId: session.nodeId,
      name,
      isHeld,
    });
    const content = await answer;
    if (session.isOver) return;
    log.info(`Ack package, type: (${name})`);
    if (isHeld) return;
    if (content === undefined || sha256(content) !== digest) {
      throw new PsgdError(
        "WIRE_MALFORMED",
        `${name}: expected bytes with SHA-256 ${digest}, got ${content === undefined ? "none" : sha256(content)}`,
      );
    }
    await store.write(key, content);
  }

  // Phase 3: from here on the job is the cluster's; the submitter may leave.
  async #commit(link: Link, request: { jobId: string; nodeId: NodeId }): Promise<void> {
    const session = this.#sessionOf(request);
    if (session === undefined || session.link !== link || session.handle === undefined) return;
    if (session.isCommitted) return;
    session.isCommitted = true;
    this.#watch(link, session.jobId);
    try {
      await this.#records.write(this.#recordOf(session, "running"));
    } catch (error) {
      // The submitter calls the whole job off then, and this node with it.
      const { jobId, nodeId } = request;
      this.#reply(link, { type: "refused", jobId, nodeId, error: toErrorRecord(error) });
      return;
    }
    session.handle.send({ type: "start" });
    this.#reply(link, { type: "started", jobId: session.jobId, nodeId: session.nodeId });
  }

  async #rollBack(session: Session, reason: string): Promise<void> {
    if (session.isOver) return;
    session.end();
    this.#options.log.info(
      `Job ${session.jobId}, ${nodeName(session.nodeId)}: rolled back, ${reason}`,
    );
    session.handle?.kill();
    try {
      await this.#removeDirectory(session);
    } finally {
      // One that was started is released when it has ended.
      if (session.handle === undefined) {
        this.#release(session);
        this.#tidyPackages(session);
      }
    }
  }

  async #removeDirectory({ jobId, nodeId, hasDirectory }: Session): Promise<void> {
    if (hasDirectory) await this.#options.store.remove(nodeKey(jobId, nodeId));
  }

  #onNodeEvent(session: Session, event: NodeEvent): void {
    const { jobId, nodeId } = session;
    switch (event.type) {
      case "ready":
        this.#reply(session.link, { type: "ready", jobId, nodeId });
        return;
      case "log":
        this.#options.log.info(event.line);
        return;
      case "dying":
        session.stopError ??= event.error;
        return;
      case "progress":
        break;
      case "finished":
      case "failed":
        session.outcome = event;
        // What is left of the node has nothing more to say; it must not hold its slot.
        session.cancelKill ??= this.#options.clock.setTimer(STOP_GRACE_MS, () =>
          session.handle?.kill(),
        );
    }
    this.#broadcast(jobId, { type: "event", jobId, nodeId, event });
  }

  async #onNodeExit(session: Session, reason: string): Promise<void> {
    session.cancelKill?.();
    const { jobId, nodeId } = session;
    try {
      if (session.isOver) return;
      if (session.outcome === undefined) {
        const error =
          session.stopError ??
          toErrorRecord(
            new PsgdError(
              "NODE_LOST",
              `${nodeName(nodeId)}: expected to run, got its end: ${reason}; worker ${this.#options.info.name}; look at its log, and submit the job again`,
              { details: { node: nodeId } },
            ),
          );
        session.outcome = { type: "failed", error };
        await this.#tellPeers(session, error);
      }
      if (!session.isCommitted) {
        if (session.outcome.type === "failed")
          this.#reply(session.link, {
            type: "refused",
            jobId,
            nodeId,
            error: session.outcome.error,
          });
        await this.#options.store.remove(nodeKey(jobId, nodeId));
        return;
      }
      const record = this.#recordOf(session, stateOf(session.outcome));
      await this.#records.keep(record);
      this.#broadcast(jobId, { type: "ended", jobId, nodeId, record });
    } catch (error) {
      this.#options.log.error(`Job ${jobId}, ${nodeName(nodeId)}: ${toErrorRecord(error).message}`);
    } finally {
      this.#options.log.info(`Current session closed, node_id(${nodeId}).`);
      this.#release(session);
      this.#tidyPackages(session);
    }
  }

  /** Tells the other nodes of a job that one has died, for it can no longer do so itself. */
  async #tellPeers(session: Session, error: ErrorRecord): Promise<void> {
    if (session.assignment === undefined || !session.isCommitted) return;
    const message: PeerMessage = { type: "abort", node: session.nodeId, error };
    const links = nodesOf(session.assignment.spec)
      .filter((node) => node !== session.nodeId)
      .map((node) => this.#endpoint!.connect(nodeAddress(session.jobId, node)));
    for (const link of links) link.send(message);
    const closing = Promise.allSettled(links.map((link) => link.close()));
    await Promise.race([closing, sleep(this.#options.clock, LAST_WORDS_MS)]);
  }

  #stopNode(session: Session, error: ErrorRecord): void {
    if (session.stopError !== undefined) return;
    session.stopError = error;
    if (session.handle === undefined) {
      this.#track(
        this.#rollBack(session, error.message),
        `Job ${session.jobId} is not rolled back`,
      );
      return;
    }
    session.handle.send({ type: "stop", error });
    session.cancelKill ??= this.#options.clock.setTimer(STOP_GRACE_MS, () =>
      session.handle?.kill(),
    );
  }

  #release(session: Session): void {
    session.end();
    this.#sessions.delete(keyOf(session.jobId, session.nodeId));
    if (this.#sessions.size === 0) this.#onIdle();
  }

  /** Codecs and data sets may come again with other jobs; what only this one had goes. */
  #tidyPackages({ assignment }: Session): void {
    if (assignment === undefined) return;
    const tidy = async (): Promise<void> => {
      for (const name of PACKAGES_OF_ONE_JOB) await this.#shelf.drop(assignment.packages[name]);
      await this.#shelf.prune();
    };
    // Nobody waits for it: it may wait itself, for a session that is about to be rolled back.
    this.#track(tidy(), "Packages are not removed");
  }

  #usesPackage(digest: string): boolean {
    return [...this.#sessions.values()].some((session) =>
      Object.values(session.assignment?.packages ?? {}).includes(digest),
    );
  }

  #idle(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#sessions.size === 0) resolve();
      else this.#onIdle = resolve;
    });
  }

  #unattached(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#attached.size === 0) resolve();
      else this.#onUnattached = resolve;
    });
  }

  async #servePlans(link: Link): Promise<void> {
    try {
      if (this.#plans === undefined) {
        throw new PsgdError(
          "BACKEND_UNAVAILABLE",
          "plans: expected a worker that runs them, got one that does not",
        );
      }
      await this.#plans.attach(link);
    } catch (error) {
      this.#reply(link, { type: "plansEnded", error: toErrorRecord(error) });
    }
  }

  async #forget(link: Link): Promise<void> {
    this.#plans?.forget(link);
    for (const [jobId, links] of this.#attached) {
      links.delete(link);
      if (links.size === 0) this.#attached.delete(jobId);
    }
    if (this.#attached.size === 0) this.#onUnattached();
    for (const session of this.#sessions.values()) {
      if (session.link === link && !session.isCommitted)
        await this.#rollBack(session, "its submitter is gone");
    }
  }

  #watch(link: Link, jobId: string): void {
    const links = this.#attached.get(jobId) ?? new Set();
    links.add(link);
    this.#attached.set(jobId, links);
  }

  async #attach(link: Link, jobId: string): Promise<void> {
    this.#watch(link, jobId);
    for (const record of await this.#records.all()) {
      const { nodeId } = record;
      // One that is still here ends with a word to all who are attached, when its slot is free.
      const isOver = record.finishedAt !== undefined && this.#sessionOf(record) === undefined;
      if (record.jobId === jobId && isOver)
        this.#reply(link, { type: "ended", jobId, nodeId, record });
    }
  }

  #broadcast(jobId: string, reply: WorkerReply): void {
    for (const link of this.#attached.get(jobId) ?? []) this.#reply(link, reply);
  }

  #reply(link: Link, reply: WorkerReply): void {
    if (!link.isClosed) link.send(reply);
  }

  async #sendResults(
    link: Link,
    { jobId, nodeId }: { jobId: string; nodeId: NodeId },
  ): Promise<void> {
    const { store } = this.#options;
    const record = await this.#records.of({ jobId, nodeId });
    if (record === undefined) {
      const error = new PsgdError(
        "JOB_UNKNOWN",
        `worker ${this.#options.info.name}: expected a job it has run, got ${nodeName(nodeId)} of job ${jobId}`,
      );
      this.#reply(link, { type: "refused", jobId, nodeId, error: toErrorRecord(error) });
      return;
    }
    this.#options.log.info("ACK logfile reclaim.");
    const prefix = `${resultKey(jobId, nodeId)}/`;
    for (const { key } of await store.list(prefix)) {
      const content = await store.read(key);
      if (content !== undefined)
        this.#reply(link, { type: "file", jobId, nodeId, path: key.slice(prefix.length), content });
    }
    this.#reply(link, { type: "fetched", jobId, nodeId, record });
  }

  #recordOf({ outcome, assignment }: Session, state: NodeState): NodeRecord {
    const hasEnded = outcome !== undefined;
    return {
      ...assignment!,
      state,
      finishedAt: hasEnded ? this.#options.clock.wallTime().toISOString() : undefined,
      error: outcome?.type === "failed" ? outcome.error : undefined,
      summary: outcome?.type === "finished" ? outcome.summary : undefined,
      isRetrieved: false,
    };
  }

  #sessionOf({ jobId, nodeId }: { jobId: string; nodeId: NodeId }): Session | undefined {
    return this.#sessions.get(keyOf(jobId, nodeId));
  }
}

/** One node of one job on this worker, from lease to release. */
class Session {
  readonly jobId: string;
  readonly nodeId: NodeId;
  readonly link: Link;
  assignment: NodeAssignment | undefined;
  handle: NodeHandle | undefined;
  isCommitted = false;
  /** Whether the node's directory in the store was made for this lease. */
  hasDirectory = false;
  /** Rolled back or released: events that still arrive mean nothing. */
  isOver = false;
  outcome: Extract<NodeEvent, { type: "finished" | "failed" }> | undefined;
  stopError: ErrorRecord | undefined;
  cancelKill: (() => void) | undefined;
  #waiting: { name: PackageName; resolve: (content: Uint8Array | undefined) => void } | undefined;

  constructor(jobId: string, nodeId: NodeId, link: Link) {
    this.jobId = jobId;
    this.nodeId = nodeId;
    this.link = link;
  }

  expectPackage(name: PackageName): Promise<Uint8Array | undefined> {
    return new Promise((resolve) => {
      this.#waiting = { name, resolve };
      // Nobody will answer any more, and others wait for their turn.
      if (this.isOver) resolve(undefined);
    });
  }

  onPackage(name: PackageName, content: Uint8Array | undefined): void {
    if (this.#waiting?.name === name) this.#waiting.resolve(content);
  }

  end(): void {
    this.isOver = true;
    this.#waiting?.resolve(undefined);
  }
}

/** Asked after an `await`, when it may have changed. */
function isOver(session: Session): boolean {
  return session.isOver;
}

function keyOf(jobId: string, nodeId: NodeId): string {
  return `${jobId}/${nodeId}`;
}

function stateOf(outcome: Extract<NodeEvent, { type: "finished" | "failed" }>): NodeState {
  if (outcome.type === "finished") return "done";
  return outcome.error.code === "JOB_CANCELLED" ? "cancelled" : "failed";
}
