interface Event {
  readonly atMs: number;
  readonly order: number;
  run: (() => void) | undefined;
}

/**
 * What is going to happen in a simulated world, in order of virtual time, then of planning. Nothing else moves time.
 * Promises that an event settles run before the next event only if the driver gives the event loop a turn in between.
 */
export class Scheduler {
  #nowMs = 0;
  #nextOrder = 0;
  /** A binary heap: no event comes before its parent. */
  readonly #heap: Event[] = [];

  /** Virtual milliseconds since the world began; a multiple of 1/16, so that sums are exact everywhere. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** @returns calls it off; harmless afterwards */
  after(ms: number, run: () => void): () => void {
    // Rounded up: nobody is called too early.
    const event = { atMs: this.#nowMs + Math.ceil(ms * 16) / 16, order: this.#nextOrder++, run };
    this.#push(event);
    return () => {
      (event as Event).run = undefined;
    };
  }

  /** Lets the next event happen. @returns false if there is none */
  runNext(): boolean {
    for (let event = this.#pop(); event !== undefined; event = this.#pop()) {
      if (event.run === undefined) continue;
      this.#nowMs = event.atMs;
      event.run();
      return true;
    }
    return false;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let place = heap.push(event) - 1;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!isBefore(event, heap[parent]!)) break;
      heap[place] = heap[parent]!;
      place = parent;
    }
    heap[place] = event;
  }

  #pop(): Event | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[place] = heap[child]!;
      place = child;
    }
    heap[place] = last;
    return first;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
