/*
 * The whole production runtime under virtual time: a submitter, worker daemons with their nodes, links and stores, over
 * the simulated broker, with the faults of a scenario. Slower than the simulation of nodes alone, and about other
 * promises: that a job starts everywhere or nowhere, that slots and results are neither lost nor leaked.
 */
import { tfjsEngine } from "@psgd/compute";
import {
  PsgdError,
  SILENT,
  isPsgdError,
  seededRandom,
  type Logger,
  type NodeId,
  type WorkerInfo,
} from "@psgd/core";
import { Broker, Machine, Scheduler, Trace, type Fault, type Scenario } from "@psgd/harness";
import {
  JobClient,
  SharedValues,
  WorkerDaemon,
  fetchResults,
  followJob,
  nodesOf,
  submitJob,
  systemClock,
  type NodeRecord,
} from "@psgd/runtime";
import { MemoryNetwork } from "@psgd/transport";
import { unpack } from "@psgd/wire";
import { Plain } from "../../codecs/plain.js";
import { InProcessNodeHost } from "../runtime/in-process-node-host.js";
import { testJob, type TestJob } from "../runtime/test-cluster.js";
import { MemoryStore } from "../support/memory-store.js";

/** The submitter's place among the nodes of a scenario, which has no parameter server here. */
const SUBMITTER: NodeId = -2;

const JOB_ID = "job";

/** Everything must be settled by then: a peer is lost after 30 s, a phase of a submission takes up to 20 s. */
const LIMIT_MS = 180_000;

/** No pause or cut lasts longer. */
const CALM_MS = 15_000;

/** What a submission may end with when machines or the network fail it. */
const REFUSALS: readonly string[] = ["NODE_LOST", "COMMIT_TIMEOUT", "CLUSTER_UNREACHABLE"];

const MOST_EVENTS = 200_000;

/** A worker's disk that takes nothing for a while, as a full one; without an end, until nothing else is left to happen. */
export interface DiskFault {
  readonly node: NodeId;
  readonly atMs: number;
  readonly ms: number | undefined;
}

export interface ClusterOutcome {
  readonly scenario: Scenario;
  /** What must not be, in words. */
  readonly violation: string | undefined;
  /** How the submission went: "started", or the code it was refused with. */
  readonly submission: string;
  /** Of the nodes, in order; "none" where a worker knows nothing of the job. */
  readonly states: readonly string[];
  /** Of the trained model, if there is one. */
  readonly modelSha256: string | undefined;
  readonly traceHash: string;
  readonly eventCount: number;
  readonly virtualMs: number;
  readonly lines: readonly string[];
}

interface SimulatedWorker {
  readonly store: MemoryStore;
  machine: Machine;
  daemon: WorkerDaemon | undefined;
  incarnation: number;
  isUp: boolean;
}

/** Runs one scenario of the whole cluster. */
export async function simulateCluster(
  scenario: Scenario,
  diskFault?: DiskFault,
): Promise<ClusterOutcome> {
  const { stackTraceLimit } = Error;
  // Stacks travel with errors, and name paths and lines of this machine: the length of frames must not depend on them.
  Error.stackTraceLimit = 0;
  try {
    return await new SimulatedCluster(scenario, diskFault).run();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

class SimulatedCluster {
  readonly #scenario: Scenario;
  readonly #diskFault: DiskFault | undefined;
  readonly #job: TestJob;
  readonly #scheduler = new Scheduler();
  readonly #trace = new Trace(() => this.#scheduler.nowMs, false);
  readonly #broker: Broker;
  readonly #directory = new MemoryNetwork();
  readonly #workers: SimulatedWorker[];
  readonly #infos: WorkerInfo[] = [];
  #violation: string | undefined;
  #submission = "not answered";
  /** Set when the submitter has nothing more to wait for. */
  #isFollowed = false;
  #isSettledOnce = false;
  #pendingFaults = 0;

  constructor(scenario: Scenario, diskFault: DiskFault | undefined) {
    const { seed, nodeCount, stepCount, faults } = scenario;
    this.#scenario = scenario;
    this.#diskFault = diskFault;
    this.#job = testJob({ codec: "Plain", nodeCount, stepCount, batchSize: 4 });
    this.#broker = new Broker(
      {
        scheduler: this.#scheduler,
        trace: this.#trace,
        onBug: (error) => this.#break(String((error as Error).stack)),
      },
      seededRandom(`${seed}/network`),
      faults,
    );
    this.#workers = Array.from({ length: nodeCount }, (_, node) => ({
      store: this.#disk(node),
      machine: this.#machine(node),
      daemon: undefined,
      incarnation: 0,
      isUp: true,
    }));
  }

  async run(): Promise<ClusterOutcome> {
    for (const [node, worker] of this.#workers.entries()) await this.#start(node, worker);
    this.#infos.push(...this.#workers.map(({ daemon }) => daemon!.info()));
    const submitter = this.#machine(SUBMITTER);
    for (const fault of this.#scenario.faults) this.#plan(fault, submitter);
    void this.#submit(submitter);
    if (!(await this.#runUntil(() => this.#isSettled(submitter))))
      this.#break(`not settled: ${this.#told().join(", ")}`);
    this.#isSettledOnce = true;
    if (this.#diskFault !== undefined) await this.#rest();
    const modelSha256 = await this.#judge();
    return {
      scenario: this.#scenario,
      violation: this.#violation,
      submission: this.#submission,
      states: this.#states(),
      modelSha256,
      traceHash: this.#trace.hash,
      eventCount: this.#trace.eventCount,
      virtualMs: this.#scheduler.nowMs,
      lines: this.#trace.lines,
    };
  }

  /** @returns false if time, events or patience end before */
  async #runUntil(isThere: () => boolean): Promise<boolean> {
    for (let count = 0; count < MOST_EVENTS; count++) {
      await systemClock.nextTurn();
      if (isThere()) return true;
      if (this.#scheduler.nowMs > LIMIT_MS || !this.#scheduler.runNext()) return false;
    }
    return false;
  }

  #disk(node: NodeId): MemoryStore {
    const store = new MemoryStore();
    const { node: full, atMs = 0, ms = Infinity } = this.#diskFault ?? {};
    store.beforeWrite = (key) => {
      const { nowMs } = this.#scheduler;
      if (node === full && !this.#isSettledOnce && nowMs >= atMs && nowMs < atMs + ms)
        throw new PsgdError("STORE_FAILED", `${key}: expected to write, got a full disk`);
    };
    return store;
  }

  #machine(node: NodeId): Machine {
    const offset = this.#scenario.faults.find(
      (fault) => fault.kind === "clock offset" && fault.node === node,
    );
    return new Machine(this.#scheduler, offset?.kind === "clock offset" ? offset.ms : 0);
  }

  async #start(node: NodeId, worker: SimulatedWorker): Promise<void> {
    const { machine, store } = worker;
    const incarnation = ++worker.incarnation;
    const name = `worker-${node}`;
    const host = new InProcessNodeHost((count) => ({
      clock: machine,
      transport: this.#broker.connect(node, machine),
      store,
      engine: () => tfjsEngine(),
      loadModule: async () => ({ Plain }),
      modelFiles: (_model, weights) => ({ "weights.bin": new Uint8Array(weights.slice().buffer) }),
      logger: (write) => ({ info: write, warn: write, error: write }),
      shared: new SharedValues(),
      incarnationSeed: `${this.#scenario.seed}/${name}/${incarnation}/${count}`,
    }));
    const transport = this.#broker.connect(node, machine);
    const daemon = await WorkerDaemon.start({
      info: { workerId: name, name, version: "1", hosts: [], engines: [], labels: {}, slots: 1 },
      directory: this.#directory.directory(machine),
      random: seededRandom(`${this.#scenario.seed}/${name}/${incarnation}`),
      ...{ transport, store, host, clock: machine, log: this.#log() },
    });
    // It may have been switched off meanwhile.
    if (worker.machine === machine) worker.daemon = daemon;
  }

  #plan(fault: Fault, submitter: Machine): void {
    if (fault.kind !== "pause" && fault.kind !== "crash") return;
    const worker = this.#workers[fault.node];
    this.#pendingFaults++;
    this.#scheduler.after(fault.atMs, () => {
      this.#pendingFaults--;
      const machine = worker?.machine ?? submitter;
      if (fault.kind === "pause") {
        machine.pause(fault.ms);
        return;
      }
      machine.switchOff();
      this.#broker.unplug(fault.node);
      if (worker === undefined) return;
      worker.isUp = false;
      worker.daemon = undefined;
      if (fault.restartAfterMs === undefined) return;
      this.#pendingFaults++;
      this.#scheduler.after(fault.restartAfterMs, () => {
        this.#pendingFaults--;
        worker.machine = this.#machine(fault.node);
        worker.isUp = true;
        void this.#start(fault.node, worker);
      });
    });
  }

  async #submit(machine: Machine): Promise<void> {
    const { spec, packages } = this.#job;
    const placement = new Map(nodesOf(spec).map((node) => [node, this.#infos[node]!]));
    const client = await this.#client(machine, "submitter");
    try {
      await submitJob({
        ...{ jobId: JOB_ID, spec, packages, placement, client, clock: machine, log: SILENT },
        leaseTimeoutMs: 20_000,
        readyTimeoutMs: 60_000,
      });
      this.#submission = "started";
      const addresses = new Map([...placement].map(([node, { address }]) => [node, address]));
      const observer = { onProgress: () => {}, onEnded: () => {}, onLost: () => {} };
      await followJob({ jobId: JOB_ID, client, addresses, observer }).outcome;
    } catch (error) {
      this.#submission = isPsgdError(error) ? error.code : String(error);
      const isExpected =
        REFUSALS.includes(this.#submission) ||
        (this.#submission === "STORE_FAILED" && this.#diskFault !== undefined);
      if (!isExpected) this.#break(`submission: ${String(error)}`);
    }
    await client.close();
    this.#isFollowed = true;
  }

  #client(machine: Machine, name: string): Promise<JobClient> {
    return JobClient.open({
      transport: this.#broker.connect(SUBMITTER, machine),
      clock: machine,
      random: seededRandom(`${this.#scenario.seed}/${name}`),
      address: `client.${name}`,
      log: this.#log(),
    });
  }

  /** Whether nothing is left to happen: nobody follows, no slot is lent, and no machine is about to fail or return. */
  #isSettled(submitter: Machine): boolean {
    if (this.#violation !== undefined) return true;
    if (this.#pendingFaults > 0 || !(this.#isFollowed || submitter.isOff)) return false;
    return this.#workers.every(({ daemon, isUp }) => !isUp || daemon?.info().freeSlots === 1);
  }

  /** @returns the hash of the trained model */
  async #judge(): Promise<string | undefined> {
    const { faults } = this.#scenario;
    const records = this.#records();
    const found = records.filter((record) => record !== undefined);
    const isDone = found.length > 0 && records.every((record) => record?.state === "done");
    const hasDeaths = this.#diskFault !== undefined || faults.some(({ kind }) => kind === "crash");
    const models = new Set(found.flatMap(({ summary }) => summary?.modelSha256 ?? []));
    if (models.size > 1) this.#break("two nodes have different models");
    for (const [node, record] of records.entries())
      if (record?.state === "running" && this.#workers[node]!.isUp)
        this.#break(`node ${node} is left running`);
    if (this.#submission === "started" && !hasDeaths && !isDone)
      this.#break(`a job that started did not finish: ${this.#told().join(", ")}`);
    if (!hasDeaths && !isDone && found.some(({ state }) => state === "done"))
      this.#break(`half of a job is done: ${this.#told().join(", ")}`);
    if (isDone && this.#violation === undefined) await this.#fetchAll();
    return isDone ? [...models][0] : undefined;
  }

  /** Results of a finished job can be had by somebody else, later, and are what the node has trained. */
  async #fetchAll(): Promise<void> {
    await this.#rest();
    const machine = new Machine(this.#scheduler, 0);
    const client = await this.#client(machine, "visitor");
    for (const [node, { address }] of this.#infos.entries()) {
      if (!this.#workers[node]!.isUp) continue;
      let weightBytes: number | undefined;
      void fetchResults(client, machine, address, JOB_ID, node).then(
        ({ files }) => (weightBytes = files.get("model/weights.bin")?.length ?? 0),
        (error: unknown) => this.#break(`results of node ${node}: ${String(error)}`),
      );
      await this.#runUntil(() => weightBytes !== undefined || this.#violation !== undefined);
      // Two weights and a bias.
      if (weightBytes !== 12)
        this.#break(`results of node ${node}: ${weightBytes} bytes of weights`);
    }
  }

  async #rest(): Promise<void> {
    const endMs = this.#scheduler.nowMs + CALM_MS;
    this.#scheduler.after(CALM_MS, () => {});
    await this.#runUntil(() => this.#scheduler.nowMs >= endMs);
  }

  #records(): (NodeRecord | undefined)[] {
    return this.#workers.map(({ store }, node) => {
      const bytes = store.entries.get(`jobs/${JOB_ID}/node-${node}/record`);
      return bytes === undefined ? undefined : (unpack(bytes) as NodeRecord);
    });
  }

  #states(): string[] {
    return this.#records().map((record) => record?.state ?? "none");
  }

  #told(): string[] {
    const records = this.#records();
    return this.#workers.map(({ isUp, daemon }, node) => {
      const record = records[node];
      const error = record?.error === undefined ? "" : ` (${record.error.message})`;
      const slots = isUp ? `${daemon?.info().freeSlots ?? "?"} free slots` : "down";
      return `node ${node}: ${record?.state ?? "none"}${error}, ${slots}`;
    });
  }

  #log(): Logger {
    const watch = (line: string): void => {
      if (line.includes("bug:")) this.#break(line);
    };
    return { info: watch, warn: watch, error: watch };
  }

  #break(text: string): void {
    this.#violation ??= `${text}; submission ${this.#submission}; after ${this.#scheduler.nowMs} ms`;
  }
}
