import {
  PsgdError,
  fromErrorRecord,
  nodeName,
  type Clock,
  type Logger,
  type NodeId,
} from "@psgd/core";
import type { JobClient } from "./coordinator.js";
import type { NodeRecord } from "./job.js";

/** The results of one node, as its worker kept them. */
export interface NodeResults {
  readonly record: NodeRecord;
  /** By path below the node's directory. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** A worker that answered is given this long between two files. */
const FILE_TIMEOUT_MS = 60_000;

/**
 * Brings a node's files home; they stay at the worker until `confirm` says that they are safe here.
 * @throws {PsgdError} JOB_UNKNOWN, NODE_LOST, COMMIT_TIMEOUT
 */
export function fetchResults(
  client: JobClient,
  clock: Clock,
  address: string,
  jobId: string,
  nodeId: NodeId,
): Promise<NodeResults> {
  return new Promise((resolve, reject) => {
    const files = new Map<string, Uint8Array>();
    const finish = (settle: () => void): void => {
      cancel();
      stop();
      settle();
    };
    const expire = (): void => {
      const error = new PsgdError(
        "COMMIT_TIMEOUT",
        `results of ${nodeName(nodeId)}, job ${jobId}: expected a file within ${FILE_TIMEOUT_MS} ms, got none; try \`job-submit --retrieve ${jobId}\` again`,
      );
      finish(() => reject(error));
    };
    let cancel = clock.setTimer(FILE_TIMEOUT_MS, expire);
    const stop = client.listen(
      (from, reply) => {
        if (
          from !== address ||
          !("nodeId" in reply) ||
          reply.jobId !== jobId ||
          reply.nodeId !== nodeId
        )
          return;
        if (reply.type === "file") {
          files.set(reply.path, reply.content);
          cancel();
          cancel = clock.setTimer(FILE_TIMEOUT_MS, expire);
        }
        if (reply.type === "refused") finish(() => reject(fromErrorRecord(reply.error)));
        if (reply.type === "fetched") finish(() => resolve({ record: reply.record, files }));
      },
      (from, cause) => {
        if (from !== address) return;
        const error = new PsgdError(
          "NODE_LOST",
          `results of ${nodeName(nodeId)}, job ${jobId}: expected its worker to hand them over, got its end; they are on its disk: start it again and run \`job-submit --retrieve ${jobId}\``,
          { cause, details: { node: nodeId } },
        );
        finish(() => reject(error));
      },
    );
    client.send(address, { type: "fetch", jobId, nodeId });
  });
}

/** What the workers at `addresses` know of jobs, running and ended. Those that do not answer in time are left out. */
export function listRecords(
  client: JobClient,
  clock: Clock,
  addresses: readonly string[],
  timeoutMs: number,
  log: Logger,
): Promise<ReadonlyMap<string, readonly NodeRecord[]>> {
  return new Promise((resolve) => {
    const found = new Map<string, readonly NodeRecord[]>();
    const finish = (): void => {
      cancel();
      stop();
      for (const address of addresses)
        if (!found.has(address)) log.warn(`${address} did not say which jobs it has.`);
      resolve(found);
    };
    const cancel = clock.setTimer(timeoutMs, finish);
    const stop = client.listen(
      (address, reply) => {
        if (reply.type !== "records") return;
        found.set(address, reply.records);
        if (found.size === addresses.length) finish();
      },
      () => {},
    );
    for (const address of addresses) client.send(address, { type: "records" });
    if (addresses.length === 0) finish();
  });
}
