import { nodeName, type NodeId } from "@psgd/core";

/** What happens in a simulated world, and how it is told. The position goes into the hash: new ones come at the end. */
const KINDS = {
  sends: (value, place) => frameInWords(value, place),
  gets: (value, place) => frameInWords(value, place),
  loses: (value, place) => frameInWords(value, place),
  doubles: (value, place) => frameInWords(value, place),
  corrupts: (value, place) => frameInWords(value, place),
  posts: (step) => `a message of step ${step}`,
  "takes in": (step) => `a message of step ${step}`,
  "hands over": (step) => `a message of step ${step} to its codec`,
  computes: (step) => `step ${step}`,
  "has a model": (hash) => `with hash ${(hash >>> 0).toString(16)}`,
  "is cut off": () => "from the broker",
  "is back": () => "at the broker",
  pauses: (ms) => `for ${ms} ms`,
  dies: () => "",
  starts: (incarnation) => (incarnation === 0 ? "" : "again"),
  ends: (step) => `after step ${step}`,
  fails: (step) => `in step ${step}`,
  throws: (call) => `in call ${call}`,
} as const satisfies Record<string, (value: number, place: number) => string>;

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
    const oldest = this.#isWhole ? 0 : this.#eventCount % KEPT;
    return [...this.#kept.slice(oldest), ...this.#kept.slice(0, oldest)].map(lineOf);
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
  const who = peer === NOBODY ? nodeName(node) : `${nodeName(node)} (peer: ${nodeName(peer)})`;
  return `${atMs.toFixed(3).padStart(11)} ms  ${who} ${kind} ${KINDS[kind](value, place)}`.trimEnd();
}

function frameInWords(checksum: number, place: number): string {
  const type = ["data", "bye", "ack", "reset"][place % 4] ?? "unknown";
  const sequence = place % 4 < 2 ? ` ${Math.floor(place / 4)}` : "";
  return `frame ${type}${sequence} #${(checksum >>> 0).toString(16)}`;
}
