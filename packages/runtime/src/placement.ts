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
 *
 * @param nodes - a parameter server last: it can go where nodes that train cannot
 * @param engine - what computes; nodes that train go only to workers that have it (undefined: any engine will do)
 * @throws {PsgdError} COMMIT_REJECTED with every fault found, in sentences
 */
export function placeNodes(
  nodes: readonly NodeId[],
  workers: readonly WorkerInfo[],
  file: WorkerFile | undefined,
  engine?: string,
): Placement {
  const request: Request = { nodes, workers, engine };
  return file === undefined ? placeOnIdle(request) : placeByName(request, file);
}

interface Request {
  readonly nodes: readonly NodeId[];
  readonly workers: readonly WorkerInfo[];
  readonly engine: string | undefined;
}

/** A parameter server computes no steps. */
function canCompute(worker: WorkerInfo, node: NodeId, engine: string | undefined): boolean {
  return node === PARAMETER_SERVER || engine === undefined || worker.engines.includes(engine);
}

function placeByName(request: Request, file: WorkerFile): Placement {
  const { nodes, workers, engine } = request;
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
    if (!canCompute(found, node, engine))
      faults.push(
        `${found.name} (${nodeName(node)}) has no engine ${engine}; \`psgd doctor\` there says why`,
      );
    taken.set(found.workerId, (taken.get(found.workerId) ?? 0) + 1);
    placement.set(node, found);
  }
  if (faults.length > 0) throw rejected(faults.join("; "), request);
  return placement;
}

function placeOnIdle(request: Request): Placement {
  const { nodes, workers, engine } = request;
  const usable = workers.filter((worker) => worker.protocol === PROTOCOL);
  const placement = new Map<NodeId, WorkerInfo>();
  const taken = new Map<string, number>();
  for (const node of nodes) {
    // The least loaded machine first; `workers` is sorted by name, so that equals are taken in that order.
    const [best] = usable
      .filter((worker) => worker.freeSlots > (taken.get(worker.workerId) ?? 0))
      .filter((worker) => canCompute(worker, node, engine))
      .sort((a, b) => load(a, taken) - load(b, taken));
    if (best === undefined) {
      const what = engine === undefined ? "free slots" : `free slots with engine ${engine}`;
      throw rejected(
        `expected ${nodes.length} ${what} (${nodes.map(nodeName).join(", ")}), got ${placement.size}`,
        request,
      );
    }
    taken.set(best.workerId, (taken.get(best.workerId) ?? 0) + 1);
    placement.set(node, best);
  }
  return placement;
}

function load(worker: WorkerInfo, taken: ReadonlyMap<string, number>): number {
  return worker.slots - worker.freeSlots + (taken.get(worker.workerId) ?? 0);
}

function rejected(fault: string, { workers, engine }: Request): PsgdError {
  const found = workers.map((worker) => {
    const { name, freeSlots, slots, protocol } = worker;
    const faults = [
      ...(protocol === PROTOCOL ? [] : [`protocol ${protocol} instead of ${PROTOCOL}`]),
      ...(canCompute(worker, 0, engine) ? [] : [`no engine ${engine}`]),
    ];
    return `${name} (${[`${freeSlots} of ${slots} slots free`, ...faults].join(", ")})`;
  });
  return new PsgdError(
    "COMMIT_REJECTED",
    `workers: ${fault}; answering: ${found.length === 0 ? "nobody" : found.join(", ")}; start more with \`worker\`, or see \`psgd nodes\``,
  );
}
