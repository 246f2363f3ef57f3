import { nodeName, type NodeId } from "@psgd/core";

/** What happens in a simulated world, and how it is told. The position goes into the hash: new ones come at the end. */
const KINDS = {
  sends: (value, _, place) => `sends ${frameInWords(value, place)}`,
  gets: (value, _, place) => `gets ${frameInWords(value, place)}`,
  loses: (value, _, place) => `loses ${frameInWords(value, place)}`,
  doubles: (value, _, place) => `doubles ${frameInWords(value, place)}`,
  corrupts: (value, _, place) => `corrupts ${frameInWords(value, place)}`,
  posts: (step, peer) => `sends a message of step ${step} to ${peer}`,
  "takes in": (step, peer) => `gets a message of step ${step} from ${peer}`,
  "hands over": (step, peer) => `hands its codec a message of step ${step} from ${peer}`,
  computes: (step) => `has computed its blocks of step ${step}`,
  "has a model": (hash) => `has its result and a new model (hash ${(hash >>> 0).toString(16)})`,
  "is cut off": () => "loses its connection to the broker",
  "is back": () => "is back at the broker",
  pauses: (ms) => `is paused for ${ms} ms`,
  dies: () => "crashes",
  starts: (incarnation) => `starts${incarnation === 0 ? "" : " again"}`,
  ends: (step) => `ends well after ${step} steps`,
  fails: (step) => `fails in step ${step}`,
  throws: (call) => `has its codec throw in call ${call}`,
} as const satisfies Record<string, (value: number, peer: string, place: number) => string>;

/** What happens to frames: of interest for the link only. */
const FRAME_KINDS: readonly string[] = ["sends", "gets", "loses", "doubles", "corrupts"];

export type TraceKind = keyof typeof KINDS;

const POSITIONS = Object.fromEntries(
  Object.keys(KINDS).map((kind, position) => [kind, position]),
) as Record<TraceKind, number>;

interface Entry {
  atMs: number;
  kind: TraceKind;
  node: NodeId;
  peer: NodeId;
  value: number;
  place: number;
}

/** No peer. */
const NOBODY = -8;

/** So many events a trace keeps for people. */
const KEPT = 200;

/** Everything that happened, as a hash that two equal runs share, and the last events in words. */
export class Trace {
  readonly #nowMs: () => number;
  readonly #isWhole: boolean;
  /** A ring; entries are used again, since there are very many. */
  readonly #kept: Entry[] = [];
  #eventCount = 0;
  #high = 0x811c9dc5 | 0;
  #low = 0x1b873593 | 0;

  /** @param isWhole - keeps all events and not only the last */
  constructor(nowMs: () => number, isWhole: boolean) {
    this.#nowMs = nowMs;
    this.#isWhole = isWhole;
  }

  /** @param value - what else must be the same in an equal run: a checksum, a step, a time */
  record(kind: TraceKind, node: NodeId, value = 0, peer = NOBODY, place = 0): void {
    const atMs = this.#nowMs();
    this.#mix(POSITIONS[kind] + 64 * (node + 8) + 65536 * (peer + 8));
    this.#mix(atMs * 16);
    this.#mix(value);
    const index = this.#isWhole ? this.#eventCount : this.#eventCount % KEPT;
    this.#eventCount++;
    const entry = this.#kept[index];
    if (entry === undefined) this.#kept.push({ atMs, kind, node, peer, value, place });
    else Object.assign(entry, { atMs, kind, node, peer, value, place });
  }

  /** A frame of a link. Its checksum stands for all of it; the layout is that of `link-frame.ts`. */
  recordFrame(kind: TraceKind, node: NodeId, frame: Uint8Array): void {
    const checksum = frame[4]! | (frame[5]! << 8) | (frame[6]! << 16) | (frame[7]! << 24);
    for (let i = 0; i < 8; i++) SEQUENCE_BYTES[i] = frame[24 + i]!;
    this.record(kind, node, checksum, NOBODY, frame[3]! + 4 * SEQUENCE[0]!);
  }

  /** Of all events so far. */
  get hash(): string {
    return [this.#high, this.#low]
      .map((word) => (word >>> 0).toString(16).padStart(8, "0"))
      .join("");
  }

  get eventCount(): number {
    return this.#eventCount;
  }

  /** The last events, oldest first. */
  get lines(): readonly string[] {
    return this.#inOrder().map(lineOf);
  }

  /** The same without frames: what nodes and codecs did. */
  get story(): readonly string[] {
    return this.#inOrder()
      .filter(({ kind }) => !FRAME_KINDS.includes(kind))
      .map(lineOf);
  }

  #inOrder(): readonly Entry[] {
    const oldest = this.#isWhole ? 0 : this.#eventCount % KEPT;
    return [...this.#kept.slice(oldest), ...this.#kept.slice(0, oldest)];
  }

  /** FNV-1a over words, in two lanes. */
  #mix(value: number): void {
    const word = (value | 0) ^ Math.floor(value / 4294967296);
    this.#high = Math.imul(this.#high ^ word, 0x01000193);
    this.#low = Math.imul(this.#low ^ (word + (this.#high >>> 15)), 0x85ebca6b);
  }
}

const SEQUENCE = new Float64Array(1);
const SEQUENCE_BYTES = new Uint8Array(SEQUENCE.buffer);

function lineOf({ atMs, kind, node, peer, value, place }: Entry): string {
  return `${atMs.toFixed(3).padStart(10)} ms  ${nodeName(node)} ${KINDS[kind](value, nodeName(peer), place)}`;
}

function frameInWords(checksum: number, place: number): string {
  const type = ["data", "bye", "ack", "reset"][place % 4] ?? "unknown";
  const sequence = place % 4 < 2 ? ` ${Math.floor(place / 4)}` : "";
  return `frame ${type}${sequence} #${(checksum >>> 0).toString(16)}`;
}
