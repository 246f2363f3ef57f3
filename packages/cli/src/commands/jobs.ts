import { SILENT } from "@psgd/core";
import { nodesOf, type NodeRecord } from "@psgd/runtime";
import { connectCluster } from "../compose.js";
import { EXIT_CODES } from "../exit-codes.js";
import { findRecords, findWorkers, withClient } from "../job-session.js";
import { table } from "../table.js";

/** Lists the jobs that run, have run, and wait to be retrieved. @returns the exit code */
export async function runJobs(args: Readonly<Record<string, unknown>>): Promise<number> {
  const cluster = await connectCluster(args["nats"] as string, "psgd jobs");
  const found = await withClient(cluster, SILENT, async (client) => {
    const workers = await findWorkers(cluster, (some) => some.length > 0);
    return findRecords(client, workers, SILENT);
  });
  const jobs = summarize([...found.values()].flat());
  if (args["json"] === true) {
    process.stdout.write(`${JSON.stringify(jobs)}\n`);
    return EXIT_CODES.done;
  }
  const rows = jobs.map(({ jobId, state, codec, nodes, submittedAt, isRetrieved }) => [
    jobId,
    state,
    codec,
    nodes,
    submittedAt,
    isRetrieved ? "yes" : state === "running" ? "-" : "waits",
  ]);
  process.stdout.write(
    rows.length === 0
      ? "No worker that answers knows a job.\n"
      : table(["JOB", "STATE", "CODEC", "NODES", "SUBMITTED", "RETRIEVED"], rows),
  );
  return EXIT_CODES.done;
}

interface JobSummary {
  readonly jobId: string;
  readonly state: string;
  readonly codec: string;
  /** Nodes whose workers answer, of all. */
  readonly nodes: string;
  readonly submittedAt: string;
  readonly isRetrieved: boolean;
}

function summarize(records: readonly NodeRecord[]): JobSummary[] {
  const byJob = new Map<string, NodeRecord[]>();
  for (const record of records)
    byJob.set(record.jobId, [...(byJob.get(record.jobId) ?? []), record]);
  return [...byJob.values()]
    .map((nodes): JobSummary => {
      const { jobId, spec, submittedAt } = nodes[0]!;
      const states = new Set(nodes.map(({ state }) => state));
      const state =
        (["running", "prepared", "failed", "cancelled"] as const).find((each) =>
          states.has(each),
        ) ?? "done";
      return {
        jobId,
        state,
        codec: spec.codec,
        nodes: `${nodes.length}/${nodesOf(spec).length}`,
        submittedAt,
        isRetrieved: nodes.every((node) => node.isRetrieved),
      };
    })
    .sort((a, b) => b.submittedAt.localeCompare(a.submittedAt));
}
