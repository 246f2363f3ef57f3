import {
  ASSIGNMENTS,
  PARAMETER_SERVER,
  createSettings,
  layoutOf,
  nodeName,
  seededRandom,
  type GlobalSettings,
  type NodeId,
} from "@psgd/core";
import { OPTIMIZERS } from "@psgd/sgd";
import { Broker } from "./broker.js";
import { Invariants, type Violation } from "./invariants.js";
import { Machine } from "./machine.js";
import { QuadraticProblem } from "./quadratic-problem.js";
import { FAULTS_END_MS, type Fault, type Scenario } from "./scenario.js";
import { Scheduler } from "./scheduler.js";
import type { SimulatedJob } from "./simulated-job.js";
import { SIMULATED_STALENESS } from "./node-parts.js";
import { SimulatedNode, endInWords, type NodeSurroundings } from "./simulated-node.js";
import { Trace } from "./trace.js";
import { explainWaits } from "./wait-for.js";

/** How a simulated run ended. */
export interface Outcome {
  readonly scenario: Scenario;
  readonly violation: Violation | undefined;
  /** Of everything that happened: the same scenario has the same hash, on every machine. */
  readonly traceHash: string;
  readonly eventCount: number;
  readonly virtualMs: number;
  /** The last events, in words; all of them if asked for. Empty where nothing was found. */
  readonly lines: readonly string[];
  /** The same without the frames of links. */
  readonly story: readonly string[];
}

/** So long a job may last after its faults have ended: longer than two time-outs, and than a dead peer stays unnoticed. */
const LIMIT_MS = FAULTS_END_MS + 120_000;

/** Far more than any job takes: time stands still, or messages answer each other without end. */
const LIMIT_EVENTS = 100_000;

/** Codes a job may end with where a node died or a codec threw. */
const REASONS_OF_DEATH = ["NODE_LOST", "CODEC_THREW"];

/**
 * One seed's world: some nodes of a job, their broker, and what goes wrong. It moves by one event at a time; its driver
 * gives the event loop a turn in between, in which promises settle.
 */
export class World {
  readonly #scenario: Scenario;
  readonly #isWholeTrace: boolean;
  readonly #scheduler = new Scheduler();
  readonly #trace: Trace;
  readonly #broker: Broker;
  readonly #invariants: Invariants;
  readonly #settings: GlobalSettings;
  readonly #around: Omit<NodeSurroundings, "computeMs" | "throwingCall">;
  readonly #nodes = new Map<NodeId, SimulatedNode>();
  readonly #faultsOf = new Map<NodeId, Fault[]>();
  #restartCount = 0;
  #advanceCount = 0;
  #hasDeaths = false;
  #waitingRestarts = 0;
  #outcome: Outcome | undefined;

  /** @param isWholeTrace - keeps all lines and not only the last */
  constructor(job: SimulatedJob, scenario: Scenario, isWholeTrace = false) {
    this.#scenario = scenario;
    this.#isWholeTrace = isWholeTrace;
    const nowMs = (): number => this.#scheduler.nowMs;
    this.#trace = new Trace(nowMs, isWholeTrace);
    const { seed, stepCount, faults, nodeCount, redundancy } = scenario;
    this.#settings = createSettings({
      assignment: ASSIGNMENTS.iid({ nodeCount, redundancy }),
      batchSize: 8,
      stepCount,
      parameters: job.parameters,
      seed,
    });
    const rule = OPTIMIZERS[job.optimizer];
    const credit = faults.find((fault) => fault.kind === "short credit");
    const isMean = job.promise === "mean";
    const problem = new QuadraticProblem(seed, job.size, {
      settings: this.#settings,
      rule,
      isMean,
    });
    this.#invariants = new Invariants({
      nowMs,
      isSynchronous: job.sync === "ssgd",
      mustAgree: job.promise !== "none",
      maxLead: job.sync === "ssp" ? SIMULATED_STALENESS : undefined,
      windowFrames: credit?.frames ?? Infinity,
      workers: this.#settings.nodes,
      oracle: problem,
    });
    this.#broker = new Broker(
      {
        scheduler: this.#scheduler,
        trace: this.#trace,
        onBug: (error) => this.#invariants.break("no bug", String((error as Error).stack)),
        // All other links have more credit than a simulated job ever uses.
        ...(credit === undefined
          ? {}
          : { onSend: (frame: Uint8Array) => this.#invariants.frameSent(frame) }),
      },
      seededRandom(`${seed}/network`),
      faults,
    );
    const nodes = [
      ...this.#settings.nodes,
      ...(job.server === undefined ? [] : [PARAMETER_SERVER]),
    ];
    this.#around = {
      ...{ job, seed, problem, rule, nodes },
      settings: this.#settings,
      layout: layoutOf([{ name: "w", shape: [job.size] }]),
      windowFrames: credit?.frames,
      invariants: this.#invariants,
      trace: this.#trace,
    };
    for (const fault of faults) {
      if (!("node" in fault)) continue;
      this.#faultsOf.set(fault.node, [...(this.#faultsOf.get(fault.node) ?? []), fault]);
    }
    for (const node of nodes) this.#start(node, 0);
    for (const fault of faults) this.#plan(fault);
  }

  /** Set when the run is over. */
  get outcome(): Outcome | undefined {
    return this.#outcome;
  }

  /** Judges what the last event has led to, and lets the next one happen. @returns false when it is over */
  advance(): boolean {
    this.#invariants.check();
    if (this.#invariants.violation === undefined) {
      if (this.#hasEnded()) this.#judgeEnd();
      else if (this.#mayGoOn() && this.#scheduler.runNext()) return true;
      else this.#invariants.break("ends", this.#told());
    }
    const isTold = this.#isWholeTrace || this.#invariants.violation !== undefined;
    this.#outcome = {
      scenario: this.#scenario,
      violation: this.#invariants.violation,
      traceHash: this.#trace.hash,
      eventCount: this.#trace.eventCount,
      virtualMs: this.#scheduler.nowMs,
      lines: isTold ? this.#trace.lines : [],
      story: isTold ? this.#trace.story : [],
    };
    return false;
  }

  #start(nodeId: NodeId, incarnation: number): void {
    const faults = this.#faultsOf.get(nodeId) ?? [];
    const offset = faults.find(({ kind }) => kind === "clock offset");
    const slow = faults.find((fault) => fault.kind === "slow node");
    const thrown = faults.find((fault) => fault.kind === "throw");
    const machine = new Machine(this.#scheduler, offset?.kind === "clock offset" ? offset.ms : 0);
    const connection = this.#broker.connect(nodeId, machine);
    const random = seededRandom(`${this.#scenario.seed}/speed of ${nodeId}`);
    const node = new SimulatedNode(
      nodeId,
      incarnation,
      { machine, connection },
      {
        ...this.#around,
        computeMs: ((1 + (random.uint32() % 32)) / 16) * (slow?.factor ?? 1),
        throwingCall: thrown?.call,
      },
    );
    this.#nodes.set(nodeId, node);
    void node.run();
  }

  #plan(fault: Fault): void {
    if (fault.kind === "pause") {
      this.#scheduler.after(fault.atMs, () => {
        const node = this.#nodes.get(fault.node);
        if (node === undefined) return;
        this.#trace.record("pauses", fault.node, fault.ms);
        node.machine.pause(fault.ms);
      });
    }
    if (fault.kind === "throw") this.#hasDeaths = true;
    if (fault.kind !== "crash") return;
    if (fault.restartAfterMs !== undefined) this.#waitingRestarts++;
    this.#scheduler.after(fault.atMs, () => {
      const node = this.#nodes.get(fault.node);
      if (node === undefined) return;
      this.#hasDeaths = true;
      this.#trace.record("dies", fault.node);
      node.machine.switchOff();
      if (node.state === "runs") node.state = "dead";
      this.#invariants.forget(fault.node);
      void node.connection.close();
    });
    if (fault.restartAfterMs === undefined) return;
    this.#scheduler.after(fault.atMs + fault.restartAfterMs, () => {
      this.#waitingRestarts--;
      this.#start(fault.node, ++this.#restartCount);
    });
  }

  #hasEnded(): boolean {
    if (this.#waitingRestarts > 0) return false;
    for (const { state, isStray } of this.#nodes.values())
      if (state === "runs" && !isStray) return false;
    return true;
  }

  #mayGoOn(): boolean {
    return this.#scheduler.nowMs <= LIMIT_MS && ++this.#advanceCount <= LIMIT_EVENTS;
  }

  #judgeEnd(): void {
    for (const node of this.#nodes.values()) {
      if (node.isStray && node.state === "runs") {
        node.machine.switchOff();
        void node.connection.close();
      }
      const code = node.error?.code;
      const isFine = node.state !== "failed";
      if (!isFine && !(this.#hasDeaths && REASONS_OF_DEATH.includes(String(code))))
        this.#invariants.break("survives", this.#told());
      const timerCount = node.machine.pendingTimerCount;
      if (node.state === "done" && timerCount > 0)
        this.#invariants.break("nothing left", `${nodeName(node.nodeId)}: ${timerCount} timers`);
    }
    if (this.#broker.listenerCount > 0)
      this.#invariants.break("nothing left", `${this.#broker.listenerCount} listeners`);
  }

  /** Who waits for whom, and what ended or keeps running; not what nodes only heard from others. */
  #told(): string {
    const nodes = [...this.#nodes.values()];
    const ends = nodes.filter(({ error }) => error?.details["isRelayed"] !== true).map(endInWords);
    return [...explainWaits(nodes, this.#settings), ...ends].join("; ");
  }
}
