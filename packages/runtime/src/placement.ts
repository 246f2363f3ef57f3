import { PARAMETER_SERVER, PsgdError, nodeName, type NodeId, type WorkerInfo } from "@psgd/core";
import { PROTOCOL } from "./job.js";
import type { Placement } from "./coordinator.js";

/** Which machines a job wants, by address or worker name: the content of `worker.json`. */
export interface WorkerFile {
  readonly PS: string | undefined;
  readonly Worker: readonly string[];
}

/**
 * Chooses a worker for each node: those the file names, else idle ones, a machine each while there are enough.
 * @throws {PsgdError} COMMIT_REJECTED with every fault found, in sentences
 */
export function placeNodes(
  nodes: readonly NodeId[],
  workers: readonly WorkerInfo[],
  file: WorkerFile | undefined,
): Placement {
  return file === undefined ? placeOnIdle(nodes, workers) : placeByName(nodes, workers, file);
}

function placeByName(
  nodes: readonly NodeId[],
  workers: readonly WorkerInfo[],
  file: WorkerFile,
): Placement {
  const placement = new Map<NodeId, WorkerInfo>();
  const taken = new Map<string, number>();
  const faults: string[] = [];
  for (const node of nodes) {
    const wanted = node === PARAMETER_SERVER ? file.PS : file.Worker[node];
    if (wanted === undefined) {
      faults.push(
        node === PARAMETER_SERVER
          ? "the job has a parameter server, but the file has no `PS`"
          : `the file names ${file.Worker.length} workers, too few for ${nodeName(node)}`,
      );
      continue;
    }
    const named = workers.filter((worker) =>
      [worker.name, worker.workerId, ...worker.hosts].includes(wanted),
    );
    const found =
      named.find((worker) => worker.freeSlots > (taken.get(worker.workerId) ?? 0)) ?? named[0];
    if (found === undefined) {
      faults.push(`no worker answers as ${wanted} (${nodeName(node)})`);
      continue;
    }
    if (found.protocol !== PROTOCOL)
      faults.push(
        `${found.name} (${nodeName(node)}) has version ${found.version}; install the same version on both sides`,
      );
    taken.set(found.workerId, (taken.get(found.workerId) ?? 0) + 1);
    placement.set(node, found);
  }
  if (faults.length > 0) throw rejected(faults.join("; "), workers);
  return placement;
}

function placeOnIdle(nodes: readonly NodeId[], workers: readonly WorkerInfo[]): Placement {
  const usable = workers.filter((worker) => worker.protocol === PROTOCOL);
  const freeSlots = usable.reduce((sum, worker) => sum + worker.freeSlots, 0);
  if (freeSlots < nodes.length)
    throw rejected(
      `expected ${nodes.length} free slots (${nodes.map(nodeName).join(", ")}), got ${freeSlots}`,
      workers,
    );
  const placement = new Map<NodeId, WorkerInfo>();
  const taken = new Map<string, number>();
  for (const node of nodes) {
    // The least loaded machine first; `workers` is sorted by name, so that equals are taken in that order.
    const [best] = usable
      .filter((worker) => worker.freeSlots > (taken.get(worker.workerId) ?? 0))
      .sort((a, b) => load(a, taken) - load(b, taken));
    taken.set(best!.workerId, (taken.get(best!.workerId) ?? 0) + 1);
    placement.set(node, best!);
  }
  return placement;
}

function load(worker: WorkerInfo, taken: ReadonlyMap<string, number>): number {
  return worker.slots - worker.freeSlots + (taken.get(worker.workerId) ?? 0);
}

function rejected(fault: string, workers: readonly WorkerInfo[]): PsgdError {
  const found = workers.map(
    ({ name, freeSlots, slots, protocol }) =>
      `${name} (${freeSlots} of ${slots} slots free${protocol === PROTOCOL ? "" : `, protocol ${protocol} instead of ${PROTOCOL}`})`,
  );
  return new PsgdError(
    "COMMIT_REJECTED",
    `workers: ${fault}; answering: ${found.length === 0 ? "nobody" : found.join(", ")}; start more with \`worker\`, or see \`psgd nodes\``,
  );
}
