import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { nodeProcesses, readManifest, startCluster, type Cluster } from "../support/cluster.js";
import type { CliProcess } from "../support/processes.js";

/** Long enough to be disturbed in the middle. */
const STEPS = 400;

function job(steps: number): string[] {
  const epochs = String(Math.ceil(steps / 50));
  return [
    ...["--codec", "plain.Plain", "--node-count", "2", "--dataset", "digits"],
    ...["--steps", String(steps), "--epochs", epochs],
  ];
}

async function inTheMiddle(submitter: CliProcess): Promise<void> {
  await submitter.waitFor(/"type":"progress".*"step":(\d{2,})/);
}

async function modelOf(cluster: Cluster, name: string): Promise<string> {
  const { manifest } = await readManifest(join(cluster.directory, name));
  const digests = new Set(manifest.nodes.map(({ summary }) => summary?.modelSha256));
  expect(manifest.nodes.map(({ summary }) => summary?.steps)).toEqual([STEPS, STEPS]);
  expect(digests.size, "bit-equal across nodes").toBe(1);
  return [...digests][0]!;
}

test("a broker that is away for two seconds changes nothing in the model", async () => {
  await using cluster = await startCluster({ workerCount: 2 });
  for (const name of ["quiet", "disturbed"]) await mkdir(join(cluster.directory, name));
  const quiet = await cluster.submit([...job(STEPS), "--output-dir", "quiet"]);
  expect(quiet.code, quiet.output).toBe(0);

  const submitter = cluster.start("job-submit", [
    ...job(STEPS),
    ...["--json", "--output-dir", "disturbed"],
  ]);
  await inTheMiddle(submitter);
  await cluster.server.restart(2_000);
  const { code } = await submitter.exit(60_000);
  expect(code, submitter.output).toBe(0);
  expect(submitter.output).toContain("Connection to the message broker lost");
  expect(await modelOf(cluster, "disturbed")).toBe(await modelOf(cluster, "quiet"));
});

test.for([
  { what: "a worker that is killed", hasNode: false },
  { what: "a machine that is gone without a word", hasNode: true },
])("$what is named within five seconds; the others take the next job", async (lost, context) => {
  await using cluster = await startCluster({ workerCount: 3 });
  const submitter = cluster.start("job-submit", [...job(100_000), "--json"]);
  await inTheMiddle(submitter);
  const victim = cluster.workers[1]!;
  const nodes = lost.hasNode ? await nodeProcesses([victim]) : [];
  // Stopped first: a node whose daemon is killed would tell the others.
  for (const pid of nodes) process.kill(pid, "SIGSTOP");
  process.kill(victim.pid, "SIGKILL");
  for (const pid of nodes) process.kill(pid, "SIGKILL");
  const killedAt = performance.now();
  // The five seconds are the product's promise, not a measure of this machine.
  await submitter.waitFor("NODE_LOST: node 1", 5_000);
  await context.annotate(`named after ${Math.round(performance.now() - killedAt)} ms`);
  const { code } = await submitter.exit();
  expect(code, submitter.output).toBe(12);
  expect(submitter.output).toMatch(
    /NODE_LOST: node 1: expected its worker to be there, got no sign of life; worker.w2.*; look at that machine/,
  );
  const names = await readdir(cluster.directory);
  expect(names, "the trace of the node that was left").toContain(
    "T-N(2)-R(1)-ID(0)-CODEC(plain.Plain).csv",
  );

  await cluster.idle();
  expect((await cluster.nodes()).map(({ name }) => name)).toEqual(["w1", "w3"]);
  const next = await cluster.submit(job(5));
  expect(next.code, next.output).toBe(0);
});
