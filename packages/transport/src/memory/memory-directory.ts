import type { Clock, Listener, WorkerDirectory, WorkerInfo } from "@psgd/core";
import { sortedWorkers } from "../worker-info.js";

/** Who is announced; each is asked at each look. */
export type Announcements = Set<() => WorkerInfo>;

const LOOK_INTERVAL_MS = 50;

/** The directory of a `MemoryNetwork`. */
export class MemoryDirectory implements WorkerDirectory {
  readonly #announcements: Announcements;
  readonly #clock: Clock;

  constructor(announcements: Announcements, clock: Clock) {
    this.#announcements = announcements;
    this.#clock = clock;
  }

  async announce(info: () => WorkerInfo): Promise<Listener> {
    const entry = (): WorkerInfo => info();
    this.#announcements.add(entry);
    return { close: () => void this.#announcements.delete(entry) };
  }

  list({
    timeoutMs,
    enough,
  }: Parameters<WorkerDirectory["list"]>[0]): Promise<readonly WorkerInfo[]> {
    const endsAt = this.#clock.now() + timeoutMs;
    return new Promise((resolve) => {
      const look = (): void => {
        const found = sortedWorkers([...this.#announcements].map((info) => info()));
        const leftMs = endsAt - this.#clock.now();
        if (leftMs <= 0 || enough?.(found) === true) resolve(found);
        else this.#clock.setTimer(Math.min(leftMs, LOOK_INTERVAL_MS), look);
      };
      look();
    });
  }
}
