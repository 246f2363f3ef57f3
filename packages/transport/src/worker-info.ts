import type { WorkerInfo } from "@psgd/core";

/** The workers, one per id (the last one said), sorted by name and id. */
export function sortedWorkers(workers: Iterable<WorkerInfo>): readonly WorkerInfo[] {
  const byId = new Map<string, WorkerInfo>();
  for (const worker of workers) byId.set(worker.workerId, worker);
  return [...byId.values()].sort(
    (a, b) => compare(a.name, b.name) || compare(a.workerId, b.workerId),
  );
}

/** By code unit, so that the order is the same on every machine. */
function compare(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}

const isText = (value: unknown): value is string => typeof value === "string";
const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0;
const isTexts = (value: unknown): value is string[] => Array.isArray(value) && value.every(isText);

/** Reads what somebody on the network says about itself; undefined if it is not a `WorkerInfo`. */
export function readWorkerInfo(said: unknown): WorkerInfo | undefined {
  if (typeof said !== "object" || said === null) return undefined;
  const fields = said as Readonly<Record<string, unknown>>;
  const workerId = fields["workerId"];
  const name = fields["name"];
  const protocol = fields["protocol"];
  const version = fields["version"];
  const address = fields["address"];
  const hosts = fields["hosts"];
  const engines = fields["engines"];
  const labels = fields["labels"];
  const slots = fields["slots"];
  const freeSlots = fields["freeSlots"];
  const jobs = fields["jobs"];
  if (!isText(workerId) || !isText(name) || !isText(version) || !isText(address)) return undefined;
  if (!isCount(protocol) || !isCount(slots) || !isCount(freeSlots)) return undefined;
  if (!isTexts(hosts) || !isTexts(engines) || !isTexts(jobs)) return undefined;
  if (typeof labels !== "object" || labels === null) return undefined;
  const pairs = Object.entries(labels);
  if (!pairs.every((pair): pair is [string, string] => isText(pair[1]))) return undefined;
  return {
    workerId,
    name,
    protocol,
    version,
    address,
    hosts,
    engines,
    labels: Object.fromEntries(pairs),
    slots,
    freeSlots,
    jobs,
  };
}
