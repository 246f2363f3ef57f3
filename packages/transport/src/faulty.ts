import type { Clock, Listener, Random, Transport, TransportStatus } from "@psgd/core";
import { checkAddress, checkFrame, closedError, ownCopy } from "./frame-rules.js";

/** What a network does to frames; read anew for each frame, so that a test may change it on the way. */
export interface Faults {
  readonly random: Random;
  readonly clock: Clock;
  /** Part of the frames that vanish, 0 … 1; the other rates likewise. */
  dropRate?: number;
  duplicateRate?: number;
  /** Part of the frames that come up to `reorderMs` (default 50) later, after frames sent later. */
  reorderRate?: number;
  reorderMs?: number;
  /** Part of the frames in which one bit is flipped. */
  corruptRate?: number;
  /** All frames come this much later. */
  delayMs?: number;
  /** Frames that vanish for sure. */
  dropWhen?: (address: string, frame: Uint8Array) => boolean;
}

/** How many frames met which fate. */
export interface FaultCounts {
  readonly dropped: number;
  readonly duplicated: number;
  readonly reordered: number;
  readonly corrupted: number;
}

/** A transport whose sent frames meet the given faults. Two with equal seeds and frames do the same. */
export function faulty(transport: Transport, faults: Faults): Transport & { counts: FaultCounts } {
  return new FaultyTransport(transport, faults);
}

class FaultyTransport implements Transport {
  readonly counts = { dropped: 0, duplicated: 0, reordered: 0, corrupted: 0 };
  readonly #transport: Transport;
  readonly #faults: Faults;
  readonly #cancelPending = new Set<() => void>();

  constructor(transport: Transport, faults: Faults) {
    this.#transport = transport;
    this.#faults = faults;
  }

  get maxFrameBytes(): number {
    return this.#transport.maxFrameBytes;
  }

  get status(): TransportStatus {
    return this.#transport.status;
  }

  listen(address: string, onFrame: (frame: Uint8Array) => void): Promise<Listener> {
    return this.#transport.listen(address, onFrame);
  }

  send(address: string, frame: Uint8Array): void {
    checkAddress(address);
    checkFrame(address, frame, this.maxFrameBytes);
    if (this.status === "closed") throw closedError(`send to ${address}`);
    const { dropRate, duplicateRate, dropWhen } = this.#faults;
    if (this.#happens(dropRate) || dropWhen?.(address, frame) === true) {
      this.counts.dropped++;
      return;
    }
    this.#pass(address, frame);
    if (this.#happens(duplicateRate)) {
      this.counts.duplicated++;
      this.#pass(address, frame);
    }
  }

  async flush(): Promise<void> {
    await this.#transport.flush();
  }

  onStatus(callback: (status: TransportStatus) => void): () => void {
    return this.#transport.onStatus(callback);
  }

  async close(): Promise<void> {
    for (const cancel of this.#cancelPending) cancel();
    this.#cancelPending.clear();
    await this.#transport.close();
  }

  #happens(rate = 0): boolean {
    return rate > 0 && this.#faults.random.float() < rate;
  }

  #pass(address: string, frame: Uint8Array): void {
    const { clock, random, corruptRate, reorderRate, reorderMs = 50, delayMs = 0 } = this.#faults;
    let late = delayMs;
    if (this.#happens(reorderRate)) {
      this.counts.reordered++;
      late += random.float() * reorderMs;
    }
    let passed = frame;
    if (frame.length > 0 && this.#happens(corruptRate)) {
      this.counts.corrupted++;
      passed = ownCopy(frame);
      passed[random.uint32() % passed.length]! ^= 1 << (random.uint32() % 8);
    }
    if (late === 0) {
      this.#transport.send(address, passed);
      return;
    }
    const held = ownCopy(passed);
    const cancel = clock.setTimer(late, () => {
      this.#cancelPending.delete(cancel);
      if (this.status !== "closed") this.#transport.send(address, held);
    });
    this.#cancelPending.add(cancel);
  }
}
