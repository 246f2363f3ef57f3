import {
  PsgdError,
  type Listener,
  type NodeId,
  type Random,
  type Transport,
  type TransportStatus,
} from "@psgd/core";
import { MAX_FRAME_BYTES } from "@psgd/transport";
import type { Machine } from "./machine.js";
import { FAULTS_END_MS, type Fault } from "./scenario.js";
import type { Scheduler } from "./scheduler.js";
import type { Trace } from "./trace.js";

/** A client notices so late that nothing comes through: pings once a second, two of them. */
const PING_PATIENCE_MS = 2_100;

/** Between two attempts to connect again. */
const REDIAL_MS = 250;

/** Frames are small and many: they share memory. */
const SLAB_BYTES = 16_384;

type Rates = Record<"loss" | "duplication" | "corruption" | "reordering", number>;

/**
 * A broker as core NATS is: at most once; in order from one sender to one address while the connection lasts; what is
 * published without a connection vanishes, and nothing is replayed after it is back; a client that does not read is cut
 * off. On top of that the faults of a scenario. Cut cables hold frames back, as TCP does, until the client gives up.
 */
export class Broker {
  readonly scheduler: Scheduler;
  readonly trace: Trace;
  readonly #random: Random;
  readonly #onBug: (error: unknown) => void;
  readonly #onSend: (frame: Uint8Array) => void;
  readonly #connections = new Set<Connection>();
  readonly #listeners = new Map<
    string,
    Set<{ to: Connection; onFrame: (f: Uint8Array) => void }>
  >();
  readonly #rates: Rates = { loss: 0, duplication: 0, corruption: 0, reordering: 0 };
  #reorderMs = 0;
  #delayMs = 0;
  #pendingLimitBytes = Infinity;
  #maxFrameBytes = MAX_FRAME_BYTES;
  #isDown = false;
  #slab = new ArrayBuffer(0);
  #slabUsed = 0;

  /** @param world - where it is; `onSend` is shown each frame that a node sends */
  constructor(
    world: {
      scheduler: Scheduler;
      trace: Trace;
      onBug: (error: unknown) => void;
      onSend?: (frame: Uint8Array) => void;
    },
    random: Random,
    faults: readonly Fault[],
  ) {
    this.scheduler = world.scheduler;
    this.trace = world.trace;
    this.#random = random;
    this.#onBug = world.onBug;
    this.#onSend = world.onSend ?? (() => {});
    for (const fault of faults) this.#plan(fault);
  }

  connect(node: NodeId, machine: Machine): Connection {
    const connection = new Connection(this, node, machine);
    this.#connections.add(connection);
    return connection;
  }

  get isDown(): boolean {
    return this.#isDown;
  }

  get maxFrameBytes(): number {
    return this.#maxFrameBytes;
  }

  /** A machine is gone: all its connections are, without a word. */
  unplug(node: NodeId): void {
    for (const connection of this.#of(node)) void connection.close();
  }

  /** Who listens at any address now. */
  get listenerCount(): number {
    let count = 0;
    for (const listeners of this.#listeners.values()) count += listeners.size;
    return count;
  }

  /** @internal */
  listen(to: Connection, address: string, onFrame: (frame: Uint8Array) => void): Listener {
    const listeners = this.#listeners.get(address) ?? new Set();
    this.#listeners.set(address, listeners);
    const listener = { to, onFrame };
    listeners.add(listener);
    return { close: () => void listeners.delete(listener) };
  }

  /** @internal */
  forget(connection: Connection): void {
    this.#connections.delete(connection);
    for (const listeners of this.#listeners.values())
      for (const listener of listeners) if (listener.to === connection) listeners.delete(listener);
  }

  /** @internal A node sends a frame, connected or not. */
  show(frame: Uint8Array): void {
    this.#onSend(frame);
  }

  /** @internal A frame has left its sender. */
  route(from: Connection, address: string, frame: Uint8Array): void {
    const copy = this.copyOf(frame);
    if (this.#happens("loss")) {
      this.trace.recordFrame("loses", from.node, copy);
      return;
    }
    this.#pass(from, address, copy);
    if (!this.#happens("duplication")) return;
    this.trace.recordFrame("doubles", from.node, copy);
    this.#pass(from, address, this.copyOf(copy));
  }

  /** @internal A copy that belongs to whoever gets it, at an 8-byte boundary. */
  copyOf(frame: Uint8Array): Uint8Array {
    if (this.#slabUsed + frame.length > this.#slab.byteLength) {
      this.#slab = new ArrayBuffer(Math.max(SLAB_BYTES, frame.length));
      this.#slabUsed = 0;
    }
    const copy = new Uint8Array(this.#slab, this.#slabUsed, frame.length);
    copy.set(frame);
    this.#slabUsed += Math.ceil(frame.length / 8) * 8;
    return copy;
  }

  #pass(from: Connection, address: string, frame: Uint8Array): void {
    if (this.#happens("corruption")) {
      this.trace.recordFrame("corrupts", from.node, frame);
      frame[this.#random.uint32() % frame.length]! ^= 1 << (this.#random.uint32() % 8);
    }
    const { nowMs } = this.scheduler;
    let arrivesAtMs = nowMs + (1 + (this.#random.uint32() % 16)) / 16;
    if (this.#delayMs > 0) arrivesAtMs += this.#random.uint32() % this.#delayMs;
    if (this.#happens("reordering")) arrivesAtMs += 1 + (this.#random.uint32() % this.#reorderMs);
    else {
      arrivesAtMs = Math.max(arrivesAtMs, from.lastArrivalMs.get(address) ?? 0);
      from.lastArrivalMs.set(address, arrivesAtMs);
    }
    this.scheduler.after(arrivesAtMs - nowMs, () => this.#arrive(address, frame));
  }

  #arrive(address: string, frame: Uint8Array): void {
    const listeners = [...(this.#listeners.get(address) ?? [])];
    listeners.forEach((listener, index) => {
      const own = index === 0 ? frame : this.copyOf(frame);
      listener.to.take(own, this.#pendingLimitBytes, () => {
        if (this.#listeners.get(address)?.has(listener) !== true) return;
        this.trace.recordFrame("gets", listener.to.node, own);
        try {
          listener.onFrame(own);
        } catch (error) {
          this.#onBug(error);
        }
      });
    });
  }

  #happens(kind: keyof Rates): boolean {
    const rate = this.#rates[kind];
    return rate > 0 && this.scheduler.nowMs < FAULTS_END_MS && this.#random.float() < rate;
  }

  #plan(fault: Fault): void {
    switch (fault.kind) {
      case "reordering":
        this.#reorderMs = fault.ms;
        this.#rates.reordering = fault.rate;
        break;
      case "loss":
      case "duplication":
      case "corruption":
        this.#rates[fault.kind] = fault.rate;
        break;
      case "delay":
        this.#delayMs = fault.ms;
        break;
      case "slow consumer limit":
        this.#pendingLimitBytes = fault.bytes;
        break;
      case "small frames":
        this.#maxFrameBytes = fault.bytes;
        break;
      case "cut":
        this.scheduler.after(fault.atMs, () => {
          for (const connection of this.#of(fault.node)) connection.cut(fault.direction, fault.ms);
        });
        break;
      case "broker restart":
        this.scheduler.after(fault.atMs, () => {
          this.#isDown = true;
          for (const connection of this.#connections) connection.drop();
        });
        this.scheduler.after(fault.atMs + fault.ms, () => {
          this.#isDown = false;
        });
        break;
      case "pause":
      case "slow node":
      case "clock offset":
      case "crash":
      case "throw":
      case "short credit":
      // Not the network's.
    }
  }

  #of(node: NodeId): Connection[] {
    return [...this.#connections].filter((connection) => connection.node === node);
  }
}

/** One node's connection to the broker. */
export class Connection implements Transport {
  readonly node: NodeId;
  /** By address: when the last frame that kept its place arrives. */
  readonly lastArrivalMs = new Map<string, number>();
  readonly #broker: Broker;
  readonly #machine: Machine;
  readonly #callbacks = new Set<(status: TransportStatus) => void>();
  #status: TransportStatus = "connected";
  /** What was on its way over an earlier connection does not arrive over this one. */
  #generation = 0;
  #cut: { readonly direction: "to" | "from" | "both"; readonly untilMs: number } | undefined;
  #heldBack: (() => void)[] = [];
  #unreadBytes = 0;

  constructor(broker: Broker, node: NodeId, machine: Machine) {
    this.#broker = broker;
    this.node = node;
    this.#machine = machine;
  }

  get status(): TransportStatus {
    return this.#status;
  }

  get maxFrameBytes(): number {
    return this.#broker.maxFrameBytes;
  }

  async listen(address: string, onFrame: (frame: Uint8Array) => void): Promise<Listener> {
    this.#requireOpen("listen");
    return this.#broker.listen(this, address, onFrame);
  }

  send(address: string, frame: Uint8Array): void {
    this.#requireOpen("send");
    if (frame.length > this.maxFrameBytes)
      throw new PsgdError("PAYLOAD_TOO_LARGE", `frame: expected fewer bytes, got ${frame.length}`);
    this.#broker.show(frame);
    this.#broker.trace.recordFrame(
      this.#status === "connected" ? "sends" : "loses",
      this.node,
      frame,
    );
    if (this.#status !== "connected") return;
    if (this.#isCut("from")) {
      const copy = this.#broker.copyOf(frame);
      this.#heldBack.push(() => this.#broker.route(this, address, copy));
    } else this.#broker.route(this, address, frame);
  }

  async flush(): Promise<void> {}

  onStatus(callback: (status: TransportStatus) => void): () => void {
    const entry = (status: TransportStatus): void => callback(status);
    this.#callbacks.add(entry);
    return () => {
      this.#callbacks.delete(entry);
    };
  }

  async close(): Promise<void> {
    if (this.#status === "closed") return;
    this.#status = "closed";
    this.#generation++;
    this.#broker.forget(this);
    this.#tell("closed");
  }

  /** @internal A frame has come to this connection. */
  take(frame: Uint8Array, pendingLimitBytes: number, deliver: () => void): void {
    if (this.#status !== "connected") return;
    const generation = this.#generation;
    if (this.#isCut("to")) {
      this.#heldBack.push(() => this.take(frame, pendingLimitBytes, deliver));
      return;
    }
    this.#unreadBytes += frame.length;
    if (this.#unreadBytes > pendingLimitBytes && this.#machine.isPaused) {
      this.drop();
      return;
    }
    this.#machine.do(() => {
      if (generation !== this.#generation) return;
      this.#unreadBytes -= frame.length;
      deliver();
    });
  }

  /** @internal */
  cut(direction: "to" | "from" | "both", ms: number): void {
    const { scheduler } = this.#broker;
    const generation = this.#generation;
    this.#cut = { direction, untilMs: scheduler.nowMs + ms };
    // Pings fail whichever direction is cut.
    if (ms > PING_PATIENCE_MS)
      scheduler.after(PING_PATIENCE_MS, () => {
        if (generation === this.#generation) this.drop();
      });
    scheduler.after(ms, () => {
      for (const pass of this.#heldBack.splice(0)) pass();
    });
  }

  /** @internal The connection is gone; the client dials until it has another. */
  drop(): void {
    if (this.#status !== "connected") return;
    this.#status = "disconnected";
    this.#generation++;
    this.#heldBack = [];
    this.#unreadBytes = 0;
    this.lastArrivalMs.clear();
    this.#broker.trace.record("is cut off", this.node);
    this.#tell("disconnected");
    this.#redial();
  }

  #redial(): void {
    this.#broker.scheduler.after(REDIAL_MS, () =>
      this.#machine.do(() => {
        if (this.#status !== "disconnected") return;
        if (this.#broker.isDown || this.#isCut("both")) {
          this.#redial();
          return;
        }
        this.#status = "connected";
        this.#broker.trace.record("is back", this.node);
        this.#tell("connected");
      }),
    );
  }

  #isCut(direction: "to" | "from" | "both"): boolean {
    if (this.#cut === undefined || this.#cut.untilMs <= this.#broker.scheduler.nowMs) return false;
    return (
      direction === "both" || this.#cut.direction === "both" || this.#cut.direction === direction
    );
  }

  #tell(status: TransportStatus): void {
    this.#machine.do(() => {
      for (const callback of [...this.#callbacks]) callback(status);
    });
  }

  #requireOpen(doing: string): void {
    if (this.#status === "closed")
      throw new PsgdError(
        "TRANSPORT_CLOSED",
        `${doing}: expected an open connection, got a closed one`,
      );
  }
}
