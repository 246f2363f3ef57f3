import { fromErrorRecord, PsgdError, SILENT, type WorkerInfo } from "@psgd/core";
import { RemoteWorker } from "@psgd/remote";
import { systemClock, systemRandom, type WorkerReply } from "@psgd/runtime";
import { LinkEndpoint } from "@psgd/transport";
import { connectCluster, type Cluster } from "./compose.js";
import { findWorkers } from "./job-session.js";
import { didYouMean, nearMiss } from "./near-miss.js";

/** A process starts in a second; a worker that does not know what we ask for says nothing. */
const READY_WITHIN_MS = 20_000;

/** The workers of a cluster, for callers who send plans to them. Use with `await using`. */
export class RemoteCluster implements AsyncDisposable {
  readonly #cluster: Cluster;
  readonly #endpoint: LinkEndpoint;
  readonly #workers = new Map<string, Promise<RemoteWorker>>();

  private constructor(cluster: Cluster, endpoint: LinkEndpoint) {
    this.#cluster = cluster;
    this.#endpoint = endpoint;
  }

  /** @throws {PsgdError} CLUSTER_UNREACHABLE */
  static async connect(natsUrl = "nats://127.0.0.1:4222"): Promise<RemoteCluster> {
    const cluster = await connectCluster(natsUrl, "caller of plans");
    const random = systemRandom();
    const endpoint = await LinkEndpoint.open({
      transport: cluster.transport,
      clock: systemClock,
      random,
      address: `caller.${random.uint32().toString(36)}${random.uint32().toString(36)}`,
      log: SILENT,
      onLink: () => {},
    });
    return new RemoteCluster(cluster, endpoint);
  }

  /** The workers that answer. */
  workers(): Promise<readonly WorkerInfo[]> {
    return findWorkers(this.#cluster, (found) => found.length > 0);
  }

  /**
   * A worker by its name, ready to take plans; the same one each time, until it is lost.
   * @throws {PsgdError} WORKER_LOST if there is none of this name, or it cannot run plans
   */
  async worker(name: string): Promise<RemoteWorker> {
    const known = await this.#workers.get(name)?.catch(() => undefined);
    if (known?.isLost === false) return known;
    const found = this.#find(name);
    this.#workers.set(name, found);
    return found;
  }

  /** Says goodbye to all workers, which forget what was put there. */
  async close(): Promise<void> {
    await this.#endpoint.close();
    await this.#cluster.transport.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #find(name: string): Promise<RemoteWorker> {
    const isNamed = (info: WorkerInfo): boolean => info.name === name;
    const found = await findWorkers(this.#cluster, (infos) => infos.some(isNamed));
    const info = found.find(isNamed);
    if (info === undefined) {
      const names = found.map((other) => other.name);
      throw new PsgdError(
        "WORKER_LOST",
        `worker ${name}: expected one of ${names.join(", ") || "none, as no worker answers"}, got no answer${didYouMean(nearMiss(name, names))}`,
      );
    }
    const control = this.#endpoint.connect(info.address);
    return new Promise((resolve, reject) => {
      let worker: RemoteWorker | undefined;
      const end = (error: Error): void => {
        cancelTimer();
        worker?.fail(error);
        reject(error);
      };
      const cancelTimer = systemClock.setTimer(READY_WITHIN_MS, () => {
        const waited = `expected to be served within ${READY_WITHIN_MS} ms, got no answer`;
        const remedy = "check that the worker has this version";
        end(new PsgdError("WORKER_LOST", `plans of worker ${name}: ${waited}; ${remedy}`));
      });
      control.onLost(end);
      control.onMessage((value) => {
        const reply = value as WorkerReply;
        if (reply.type === "plansEnded") end(fromErrorRecord(reply.error));
        if (reply.type !== "plansReady") return;
        cancelTimer();
        worker = new RemoteWorker(name, this.#endpoint.connect(reply.address));
        resolve(worker);
      });
      control.send({ type: "plans" });
    });
  }
}
