import {
  PsgdError,
  nodeName,
  toErrorRecord,
  type Clock,
  type Logger,
  type NodeId,
  type Store,
} from "@psgd/core";
import { pack, unpack } from "@psgd/wire";
import type { NodeRecord } from "./job.js";
import { nodeKey, recordKey } from "./worker-store.js";

/** Results that were fetched stay for this many jobs, so that a second look is possible; older ones go. */
const KEPT_JOBS = 20;

const RETRY_MS = 5_000;

/**
 * What a worker knows of the nodes that it runs and has run: in its store, and in memory while that takes nothing.
 *
 * Concurrency: a record may change while the one before is being written or tried again. For each key one write runs at a
 * time, and none begins for a record that a newer one has replaced: what lands last is the newest.
 */
export class NodeRecords {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Logger;
  /** By key: the newest, while the store has not taken it. */
  readonly #unwritten = new Map<string, NodeRecord>();
  /** By key: the last of the writes that wait for each other. */
  readonly #writing = new Map<string, Promise<void>>();
  #isStopped = false;
  #cancelRetry: (() => void) | undefined;

  constructor(options: { readonly store: Store; readonly clock: Clock; readonly log: Logger }) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  async all(): Promise<NodeRecord[]> {
    const entries = await this.#store.list("jobs/");
    const keys = entries.map(({ key }) => key).filter((key) => key.endsWith("/record"));
    const records = await Promise.all(keys.map((key) => this.#read(key)));
    return records.filter((record) => record !== undefined);
  }

  of(place: { jobId: string; nodeId: NodeId }): Promise<NodeRecord | undefined> {
    return this.#read(keyOf(place));
  }

  /** @throws {PsgdError} STORE_FAILED; the record is forgotten then */
  async write(record: NodeRecord): Promise<void> {
    const key = keyOf(record);
    this.#unwritten.set(key, record);
    try {
      await this.#writeInTurn(key, record);
    } catch (error) {
      if (this.#unwritten.get(key) === record) this.#unwritten.delete(key);
      throw error;
    }
  }

  /** Writes a record of which others must hear in any case: if the store does not take it now, later. */
  async keep(record: NodeRecord): Promise<void> {
    const key = keyOf(record);
    this.#unwritten.set(key, record);
    try {
      await this.#writeInTurn(key, record);
    } catch (error) {
      this.#log.error(
        `Job ${record.jobId}, ${nodeName(record.nodeId)}: its record is not written: ${toErrorRecord(error).message}; tried again every ${RETRY_MS / 1000} s`,
      );
      this.#cancelRetry?.();
      if (!this.#isStopped)
        this.#cancelRetry = this.#clock.setTimer(RETRY_MS, () => void this.#retry());
    }
  }

  async markRetrieved(place: { jobId: string; nodeId: NodeId }): Promise<void> {
    const record = await this.of(place);
    if (record?.finishedAt === undefined) return;
    await this.keep({ ...record, isRetrieved: true });
    const retrieved = (await this.all())
      .filter(({ isRetrieved }) => isRetrieved)
      .sort((a, b) => (b.finishedAt ?? "").localeCompare(a.finishedAt ?? ""));
    const kept = new Set([...new Set(retrieved.map(({ jobId }) => jobId))].slice(0, KEPT_JOBS));
    for (const { jobId, nodeId } of retrieved) {
      if (kept.has(jobId)) continue;
      this.#unwritten.delete(recordKey(jobId, nodeId));
      await this.#store.remove(nodeKey(jobId, nodeId));
    }
  }

  /** What ran when an earlier process of this worker died has ended with it. */
  async settleInterrupted(workerName: string): Promise<void> {
    for (const record of await this.all()) {
      if (record.finishedAt !== undefined) continue;
      const { jobId, nodeId } = record;
      if (record.state === "prepared") {
        await this.#store.remove(nodeKey(jobId, nodeId));
        continue;
      }
      const error = new PsgdError(
        "NODE_LOST",
        `${nodeName(nodeId)}: expected its worker to see the job through, got its end; worker ${workerName}, which was started again since; submit the job again`,
        { details: { node: nodeId } },
      );
      const finishedAt = this.#clock.wallTime().toISOString();
      await this.write({ ...record, state: "failed", error: toErrorRecord(error), finishedAt });
    }
  }

  /** Tries no more. */
  stop(): void {
    this.#isStopped = true;
    this.#cancelRetry?.();
  }

  async #retry(): Promise<void> {
    for (const record of [...this.#unwritten.values()])
      if (this.#unwritten.get(keyOf(record)) === record) await this.keep(record);
  }

  async #writeInTurn(key: string, record: NodeRecord): Promise<void> {
    const before = this.#writing.get(key);
    const written = (async () => {
      // Its own caller hears of its failure.
      await before?.catch(() => {});
      if (this.#unwritten.get(key) !== record) return;
      await this.#store.write(key, pack(record));
      if (this.#unwritten.get(key) === record) this.#unwritten.delete(key);
    })();
    this.#writing.set(key, written);
    try {
      await written;
    } finally {
      if (this.#writing.get(key) === written) this.#writing.delete(key);
    }
  }

  async #read(key: string): Promise<NodeRecord | undefined> {
    const unwritten = this.#unwritten.get(key);
    if (unwritten !== undefined) return unwritten;
    const bytes = await this.#store.read(key);
    return bytes === undefined ? undefined : (unpack(bytes) as NodeRecord);
  }
}

function keyOf({ jobId, nodeId }: { jobId: string; nodeId: NodeId }): string {
  return recordKey(jobId, nodeId);
}
