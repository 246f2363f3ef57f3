import { EXIT_CODES } from "../exit-codes.js";
import { connectCluster } from "../compose.js";
import { findWorkers } from "../job-session.js";
import { table } from "../table.js";

/** Lists the workers that answer. @returns the exit code */
export async function runNodes(args: Readonly<Record<string, unknown>>): Promise<number> {
  const cluster = await connectCluster(args["nats"] as string, "psgd nodes");
  const workers = await findWorkers(cluster, (found) => found.length > 0);
  await cluster.transport.close();
  if (args["json"] === true) {
    process.stdout.write(`${JSON.stringify(workers)}\n`);
    return EXIT_CODES.done;
  }
  const rows = workers.map(({ name, slots, freeSlots, jobs, engines, version, hosts, labels }) => [
    name,
    `${freeSlots}/${slots}`,
    jobs.join(" ") || "-",
    engines.join(" "),
    version,
    hosts[0] ?? "-",
    Object.entries(labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(" ") || "-",
  ]);
  process.stdout.write(
    rows.length === 0
      ? "No worker answers; start one with `worker`.\n"
      : table(["NAME", "FREE", "JOBS", "ENGINES", "VERSION", "HOST", "LABELS"], rows),
  );
  return EXIT_CODES.done;
}
