import { PARAMETER_SERVER, nodeName, type NodeId } from "@psgd/core";
import type { BlockMessage } from "@psgd/sgd";
import { contentHash } from "./content-hash.js";
import { frameFields } from "./frame-fields.js";

/**
 * What must hold after every event of a simulated job, and at its end. In brackets the rows of the project's list of
 * invariants that each stands for.
 */
export const INVARIANTS = {
  "once and in order":
    "a message arrives as it was sent, once, in order, or not at all (P2P promise)",
  "sent as said": "each envelope of a codec is sent once to each of its targets (I12)",
  "handed over once":
    "a codec gets each message that has come at most once, in order per sender (I4, I9)",
  "own step": "a synchronous codec gets messages of the step that waits only (I4, I8)",
  "one call at a time": "no call of a codec begins before the last one has ended (I16)",
  "within credit":
    "no more frames are on their way to a node than it gives its peer credit for (I11)",
  "one rescue per time-out": "onSyncTimeout is called at most once for each step and codec",
  "same model": "no two nodes hold different models after the same step (I6)",
  "right model":
    "each model is the fold of all contributions from the initial one, bit for bit (I3, I4, I7)",
  "within bounds":
    "under bounded staleness no worker begins a step while another is further behind than allowed",
  finite: "no model holds a number that is not finite (I10)",
  accounted: "what has come was handed over or counted as late (I12)",
  ends: "after the faults have ended the job ends, well or with a reason (I13)",
  survives:
    "loss, duplication, delay, disorder, damage, cuts, pauses and a new broker end no job (I13)",
  "nothing left": "after the end no timer is set and nobody listens (I14)",
  "no bug": "our own code throws nothing where it must not",
} as const;

export type InvariantName = keyof typeof INVARIANTS;

/** What was found wrong first. */
export interface Violation {
  readonly invariant: InvariantName;
  readonly atMs: number;
  readonly text: string;
}

/** What the model must be after a step, if that is known. */
export interface ModelOracle {
  /** @returns the weights after `step`, or `undefined` where codecs may differ */
  weightsAfter(step: number): Readonly<Float32Array> | undefined;
}

/** Watches one simulated job from outside: it is told what happens, and keeps the first thing that must not. */
export class Invariants {
  violation: Violation | undefined;
  readonly #nowMs: () => number;
  readonly #isSynchronous: boolean;
  readonly #mustAgree: boolean;
  readonly #maxLead: number | undefined;
  readonly #windowFrames: number;
  /** By a link's id on one side: how many frames of the other it has said it has. */
  readonly #acknowledged = new Map<bigint, number>();
  /** By worker: the step it has come to. */
  readonly #reached = new Map<NodeId, number>();
  readonly #oracle: ModelOracle;
  /** By link and process of its sender: what was sent and has not arrived. */
  readonly #onTheWay = new Map<string, number[][]>();
  /** By node: envelopes times targets, and messages given to the mesh. */
  readonly #saidCount = new Map<NodeId, number>();
  readonly #sentCount = new Map<NodeId, number>();
  /** Messages that have come, and from whom they were the how many-th. */
  readonly #arrivals = new Map<unknown, { readonly from: NodeId; readonly order: number }>();
  readonly #arrivedCount = new Map<NodeId, number>();
  readonly #lastOrder = new Map<string, number>();
  #nextOrder = 0;
  readonly #inCall = new Set<NodeId>();
  readonly #rescued = new Set<string>();
  readonly #models = new Map<number, { readonly node: NodeId; readonly weights: Float32Array }>();

  constructor(options: {
    nowMs: () => number;
    isSynchronous: boolean;
    mustAgree: boolean;
    /** How far the fastest worker may be ahead of the slowest. */
    maxLead: number | undefined;
    /** Frames of one link that may be on their way. */
    windowFrames: number;
    workers: readonly NodeId[];
    oracle: ModelOracle;
  }) {
    this.#nowMs = options.nowMs;
    this.#isSynchronous = options.isSynchronous;
    this.#mustAgree = options.mustAgree;
    this.#maxLead = options.maxLead;
    this.#windowFrames = options.windowFrames;
    for (const worker of options.workers) this.#reached.set(worker, 0);
    this.#oracle = options.oracle;
  }

  break(invariant: InvariantName, text: string): void {
    this.violation ??= { invariant, atMs: this.#nowMs(), text };
  }

  /** A codec's call has given out an envelope. */
  said(node: NodeId, targetCount: number): void {
    add(this.#saidCount, node, targetCount);
  }

  /** A worker has done all steps before this one. */
  comesTo(node: NodeId, step: number): void {
    this.#reached.set(node, step);
  }

  /** A worker begins a step. */
  begins(node: NodeId, step: number): void {
    if (this.#maxLead === undefined) return;
    for (const [other, its] of this.#reached) {
      if (step - its > this.#maxLead)
        this.break(
          "within bounds",
          `${nodeName(node)} begins step ${step}: ${nodeName(other)} has come to step ${its}`,
        );
    }
  }

  /** A frame of a link leaves its sender. */
  frameSent(frame: Uint8Array): void {
    const { isPlaced, linkId, peerLinkId, sequence, acknowledged } = frameFields(frame);
    this.#acknowledged.set(linkId, acknowledged);
    const credit = (this.#acknowledged.get(peerLinkId) ?? 0) + this.#windowFrames;
    if (isPlaced && sequence >= credit)
      this.break("within credit", `frame ${sequence} sent: expected one before ${credit}`);
  }

  sent(from: NodeId, to: NodeId, message: BlockMessage): void {
    // Workers that keep count of their steps say so without being told to by a codec.
    if (message.variableId >= 0) add(this.#sentCount, from, 1);
    const link = `${from}>${to}`;
    const queues = this.#onTheWay.get(link) ?? [[]];
    this.#onTheWay.set(link, queues);
    queues.at(-1)!.push(contentHash(message));
  }

  /** @param isStray - whether the receiver was started again: what it missed before nobody sends it */
  arrived(from: NodeId, to: NodeId, message: BlockMessage, isStray: boolean): void {
    if (message.variableId >= 0) add(this.#arrivedCount, to, 1);
    const queues = this.#onTheWay.get(`${from}>${to}`) ?? [];
    const hash = contentHash(message);
    // Of a process that was started again nobody can tell which of the two it is, where both have said the same.
    const fitting = queues.filter(([expected]) => expected === hash);
    for (const queue of fitting) queue.shift();
    if (fitting.length === 0 && !isStray) {
      const what = queues.some(([expected]) => expected !== undefined) ? "another" : "no more";
      this.break(
        "once and in order",
        `message of step ${message.step} from ${nodeName(from)} to ${nodeName(to)}: expected ${what}`,
      );
    }
    if (typeof message.content === "object" && message.content !== null)
      this.#arrivals.set(message.content, { from, order: this.#nextOrder++ });
  }

  /** A message is handed to a codec. */
  handedOver(node: NodeId, content: unknown, place: { from: NodeId; step: number }): void {
    const arrival = this.#arrivals.get(content);
    const isObject = typeof content === "object" && content !== null;
    this.#arrivals.delete(content);
    const where = `message of step ${place.step} from ${nodeName(place.from)} on ${nodeName(node)}`;
    if (isObject && arrival === undefined)
      this.break("handed over once", `${where}: expected it once, got it again or from nowhere`);
    if (arrival === undefined || this.#isSynchronous) return;
    const link = `${place.from}>${node}`;
    if (arrival.order < (this.#lastOrder.get(link) ?? -1))
      this.break("handed over once", `${where}: expected it before one that came later`);
    this.#lastOrder.set(link, arrival.order);
  }

  requireOwnStep(node: NodeId, messageStep: number, step: number | undefined): void {
    if (!this.#isSynchronous || node === PARAMETER_SERVER || messageStep === step) return;
    const at = step === undefined ? "it waits for nothing" : `it waits in step ${step}`;
    this.break("own step", `message of step ${messageStep} handed to ${nodeName(node)}: ${at}`);
  }

  callBegins(node: NodeId): void {
    if (this.#inCall.has(node))
      this.break(
        "one call at a time",
        `codec of ${nodeName(node)}: called in the middle of a call`,
      );
    this.#inCall.add(node);
  }

  callEnds(node: NodeId): void {
    this.#inCall.delete(node);
  }

  rescued(node: NodeId, step: number): void {
    const place = `${node}/${step}`;
    if (this.#rescued.has(place))
      this.break("one rescue per time-out", `${nodeName(node)} in step ${step}: called again`);
    this.#rescued.add(place);
  }

  modelAfter(node: NodeId, step: number, weights: Readonly<Float32Array>): void {
    const place = `model of ${nodeName(node)} after step ${step}`;
    if (!weights.every(Number.isFinite)) this.break("finite", `${place}: ${weights.join(", ")}`);
    const right = this.#oracle.weightsAfter(step);
    if (right !== undefined && !isSame(right, weights))
      this.break(
        "right model",
        `${place}: expected ${right.join(", ")}, got ${weights.join(", ")}`,
      );
    if (!this.#mustAgree) return;
    const other = this.#models.get(step);
    if (other === undefined) this.#models.set(step, { node, weights: weights.slice() });
    else if (!isSame(other.weights, weights))
      this.break(
        "same model",
        `${place}: ${weights.join(", ")}; ${nodeName(other.node)} has ${other.weights.join(", ")}`,
      );
  }

  /** A node has failed or begun anew: what is on its way to it, and what it was in, counts no more. */
  forget(node: NodeId): void {
    for (const [link, queues] of this.#onTheWay) {
      if (link.endsWith(`>${node}`)) queues.splice(0, queues.length, []);
      else if (link.startsWith(`${node}>`)) queues.push([]);
    }
    this.#reached.delete(node);
    this.#sentCount.set(node, this.#saidCount.get(node) ?? 0);
    this.#inCall.delete(node);
    this.#arrivedCount.delete(node);
  }

  /** After every event. */
  check(): void {
    for (const [node, said] of this.#saidCount) {
      const sent = this.#sentCount.get(node) ?? 0;
      if (sent !== said)
        this.break("sent as said", `${nodeName(node)}: said ${said} messages, sent ${sent}`);
    }
  }

  /** At the end of a node that has ended well. */
  requireAccounted(node: NodeId, counts: { delivered: number; late: number }): void {
    const arrived = this.#arrivedCount.get(node) ?? 0;
    if (arrived !== counts.delivered + counts.late)
      this.break(
        "accounted",
        `${nodeName(node)}: ${arrived} messages came, ${counts.delivered} were handed over and ${counts.late} late`,
      );
  }
}

function add(counts: Map<NodeId, number>, node: NodeId, count: number): void {
  counts.set(node, (counts.get(node) ?? 0) + count);
}

function isSame(a: Readonly<Float32Array>, b: Readonly<Float32Array>): boolean {
  return a.length === b.length && a.every((value, i) => Object.is(value, b[i]));
}
