import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readManifest, startCluster, type Cluster } from "../support/cluster.js";
import type { CliProcess } from "../support/processes.js";

/** Over before anybody looks: the smallest model, and data that are drawn in no time. */
const SHORT = "--codec plain.Plain --dataset simlin --model linear --steps 5".split(" ");
/** Its model takes a while to be sent and fetched: what happens at once does overlap. */
const LARGE = "--codec plain.Plain --dataset digits --steps 5".split(" ");
const LONG = "--codec plain.Plain --dataset digits --steps 100000 --epochs 3000".split(" ");

/** Starts a job and waits until it trains. @returns its id */
async function started(submitter: CliProcess): Promise<string> {
  const [, jobId] = await submitter.waitFor(/Group submission complete \(job ([\w-]+)\)/);
  return jobId!;
}

describe("an operator's day, on two workers", () => {
  let cluster: Cluster;
  const at = async (name: string): Promise<string> => {
    const path = join(cluster.directory, name);
    await mkdir(path, { recursive: true });
    return path;
  };
  beforeAll(async () => {
    cluster = await startCluster({ workerCount: 2 });
  });
  afterAll(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  test("lists workers and jobs, for people and for programs", async () => {
    const nodes = cluster.start("psgd", ["nodes"]);
    expect((await nodes.exit()).code).toBe(0);
    expect(nodes.stdout).toMatch(/^NAME +FREE.*\nw1 +1\/1.* onnx .*tfjs .*\nw2 +1\/1/);
    const jobs = cluster.start("psgd", ["jobs", "--json"]);
    expect((await jobs.exit()).code).toBe(0);
    expect(JSON.parse(jobs.stdout)).toEqual([]);
  });

  test("leaves a job to the cluster and brings it home later, from elsewhere, more than once", async () => {
    const detached = await cluster.submit([...SHORT, "--node-count", "2", "--detach"]);
    expect(detached.code, detached.output).toBe(0);
    const [, jobId] = /--retrieve ([\w-]+)/.exec(detached.output)!;
    for (const place of ["home", "elsewhere"]) {
      const results = await at(place);
      const back = await cluster.submit(["--retrieve", jobId!, "--output-dir", results]);
      expect(back.code, back.output).toBe(0);
      const { manifest } = await readManifest(results);
      expect(manifest.jobId).toBe(jobId);
      expect(manifest.nodes.map(({ state }) => state)).toEqual(["done", "done"]);
    }
  });

  test("says nothing but JSON where JSON is asked for, in good times and bad", async () => {
    const json = async (args: readonly string[]) => {
      const { code, stdout, output } = await cluster.submit([...args, "--json"]);
      expect(output, "nothing on stderr").toBe(stdout);
      const lines = stdout.trimEnd().split("\n");
      return { code, values: lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
    };
    const home = ["--output-dir", await at("json")];
    const done = await json([...SHORT, ...home]);
    expect(done.values.at(-1)).toMatchObject({ type: "finished", nodes: [{ state: "done" }] });
    const jobId = done.values.at(-1)!["jobId"] as string;
    expect((await json(["--retrieve", jobId, ...home])).values.at(-1)).toEqual(done.values.at(-1));
    expect((await json(["--cancel", jobId, ...home])).code).toBe(0);
    const refused = await json([...SHORT, ...home, "--node-count", "9"]);
    expect(refused.code).toBe(11);
    expect(refused.values.at(-1)).toMatchObject({
      type: "error",
      code: "COMMIT_REJECTED",
      exitCode: 11,
    });
  });

  test("brings one copy home where two fetch a job into one directory at once", async () => {
    const { output } = await cluster.submit([...LARGE, "--node-count", "2", "--detach"]);
    const [, jobId] = /--retrieve ([\w-]+)/.exec(output)!;
    const results = await at("twice");
    const fetch = ["--retrieve", jobId!, "--output-dir", results];
    for (const { code, output } of await Promise.all([
      cluster.submit(fetch),
      cluster.submit(fetch),
    ]))
      expect(code, output).toBe(0);
    const { home, manifest } = await readManifest(results);
    expect(await readdir(home)).toEqual(["manifest.json", "model"]);
    expect(manifest.files.filter((file) => file.includes(`.${jobId}`))).toEqual([]);
  });

  test("a later job never overwrites an earlier one's files", async () => {
    const results = await at("shared");
    for (const seed of ["1", "2"]) {
      const { code, output } = await cluster.submit([
        ...SHORT,
        ...["--seed", seed, "--output-dir", results],
      ]);
      expect(code, output).toBe(0);
    }
    const names = await readdir(results);
    expect(names.filter((name) => name.startsWith("T-"))).toHaveLength(2);
    expect(names.filter((name) => name.startsWith("job-"))).toHaveLength(2);
  });

  test("takes the machines that worker.json names", async () => {
    const results = await at("named");
    await writeFile(join(results, "worker.json"), `{"Worker": ["w2"]}`);
    const { code, output } = await cluster.submit([
      ...SHORT,
      ...["--workers", join(results, "worker.json"), "--output-dir", results],
    ]);
    expect(code, output).toBe(0);
    expect(output).toContain("Add worker (Rule: Worker, Id: 0, Address: w2).");
  });

  test("says every line that the seed says, in its order", async () => {
    const { output } = await cluster.submit([
      ...SHORT,
      ...["--node_count", "2", "--output_dir", await at("echo")],
    ]);
    const lines = [
      "--node_count <node count 2>",
      "--batch_size <batch size 64>",
      "--redundancy <r 1>",
      "--codec <communication codec and protocol plain.Plain>",
      "--optimizer <optimizer for model training parallel_sgd>",
      "--parallel_sgd <parallel_computing stochastic gradient descent synchronization type ssgd>",
      "--learn_rate <learn rate for GD algorithm 0.05>",
      "--epochs <training epochs 1>",
      "--block_assignment <block assignment strategy iid>",
      "--server_codec <parameter server codec sgq>",
      "Add worker (Rule: Worker, Id: 0, Address: w1).",
      "Add worker (Rule: Worker, Id: 1, Address: w2).",
      "Try connecting to the cluster.",
      "Connection with cluster established.",
    ];
    const said = output
      .split("\n")
      .map((line) => line.replace(/^INFO User Submit@[\d:]{8} : /, ""));
    const places = lines.map((line) => said.indexOf(line));
    expect(places, output).not.toContain(-1);
    expect(places).toEqual([...places].sort((a, b) => a - b));
    // What the two nodes ask for is interleaved.
    for (const node of [0, 1]) {
      const asked = said.filter((line) => line.startsWith(`Reply requirements to node(${node})`));
      expect(asked).toEqual(
        ["global_setting", "codec_and_sgd", "weights_and_layers", "misc", "data_sample"].map(
          (name) => `Reply requirements to node(${node}), type(${name}_package).`,
        ),
      );
    }
    expect(said.filter((line) => line.includes(" is ready, "))).toEqual([
      expect.stringMatching(/^Node\(([01])\) is ready, 2 nodes total, \{\1\} is ready\.$/),
      expect.stringMatching(/^Node\([01]\) is ready, 2 nodes total, \{0, 1\} is ready\.$/),
    ]);
    const title = "N(2)-R(1)-ID(0)-CODEC(plain.Plain)";
    for (const kind of ["T", "E"])
      expect(said).toContain(`Restoring data (${kind}-${title}.csv) from 0.`);
    expect(said).toContainEqual(
      expect.stringMatching(
        /^Restoring data \(\.\/tmp_log\/Training log @ node-0_\d\d-\d\d-\d\d\.log\) from 0\.$/,
      ),
    );
  });

  test("two submitters at once: one runs, the other is refused, nothing is half started", async () => {
    const submit = async (name: string) =>
      cluster.submit([...LARGE, ...["--node-count", "2", "--output-dir", await at(name)]]);
    const both = await Promise.all([submit("one"), submit("other")]);
    const codes = both.map(({ code }) => code).sort((a, b) => a! - b!);
    const outputs = both.map(({ output }) => output).join("\n");
    // Both run where the first has ended before the second asks.
    expect(codes[0], outputs).toBe(0);
    expect([0, 11], outputs).toContain(codes[1]);
    if (codes.includes(11)) expect(outputs).toMatch(/COMMIT_REJECTED: .*free slot/);
    await cluster.idle();
  });

  test("cancels a job by its id; its submitter is told, and the workers are idle", async () => {
    const results = await at("cancelled");
    const submitter = cluster.start("job-submit", [...LONG, "--output-dir", results]);
    const jobId = await started(submitter);
    const { code, output } = await cluster.submit(["--cancel", jobId]);
    expect(code, output).toBe(0);
    expect((await submitter.exit()).code, submitter.output).toBe(16);
    expect(submitter.output).toContain("JOB_CANCELLED");
    await cluster.idle();
    // What the job had written by then is not lost.
    expect((await readManifest(results)).manifest.nodes[0]!.state).toBe("cancelled");
  });

  test("Ctrl-C once leaves the job to the cluster and says how to retrieve it", async () => {
    const submitter = cluster.start("job-submit", [...LONG, "--output-dir", await at("left")]);
    const jobId = await started(submitter);
    await submitter.kill("SIGINT");
    expect((await submitter.exit()).code, submitter.output).toBe(0);
    expect(submitter.output).toContain(`job-submit --retrieve ${jobId}`);
    expect((await cluster.nodes()).flatMap(({ jobs }) => jobs)).toEqual([jobId]);
    await cluster.submit(["--cancel", jobId]);
    await cluster.idle();
  });

  test("Ctrl-C twice cancels it", async () => {
    const submitter = cluster.start("job-submit", [...LONG, "--output-dir", await at("stopped")]);
    await started(submitter);
    process.kill(submitter.pid, "SIGINT");
    await submitter.waitFor("press Ctrl-C again");
    process.kill(submitter.pid, "SIGINT");
    expect((await submitter.exit()).code, submitter.output).toBe(130);
    await cluster.idle();
  });

  test("a busy worker refuses the next job and says which one it runs", async () => {
    const first = cluster.start("job-submit", [
      ...LONG,
      ...["--node-count", "2", "--output-dir", await at("first")],
    ]);
    const jobId = await started(first);
    const { code, output } = await cluster.submit([...SHORT, "--output-dir", await at("second")]);
    expect(code, output).toBe(11);
    expect(output).toMatch(/COMMIT_REJECTED: .*w1 \(0 of 1 slots free\), w2 \(0 of 1 slots free\)/);
    await cluster.submit(["--cancel", jobId]);
    await first.exit();
    await cluster.idle();
  });
});

describe("a worker that is asked to stop", () => {
  test("ends at once with 0 when it is idle, and is not found any more", async () => {
    await using cluster = await startCluster({ workerCount: 2 });
    const [first] = cluster.workers;
    await first!.kill("SIGTERM");
    expect(await first!.exit()).toEqual({ code: 0, signal: null });
    expect((await cluster.nodes()).map(({ name }) => name)).toEqual(["w2"]);
  });

  test("lets a job that is nearly done finish", async () => {
    await using cluster = await startCluster({ workerCount: 1 });
    const submitter = cluster.start(
      "job-submit",
      "--dataset digits --steps 300 --epochs 9".split(" "),
    );
    await started(submitter);
    process.kill(cluster.workers[0]!.pid, "SIGTERM");
    expect((await submitter.exit()).code, submitter.output).toBe(0);
    expect((await cluster.workers[0]!.exit()).code).toBe(0);
  });

  test("hands a job back that does not finish in time, and says so", async () => {
    await using cluster = await startCluster({ workerCount: 0 });
    const home = join(cluster.directory, "w");
    const worker = cluster.start("worker", ["--name", "w", "--work-dir", home, "--grace", "0.5"]);
    await worker.waitFor("Worker started");
    const submitter = cluster.start("job-submit", LONG);
    const jobId = await started(submitter);
    process.kill(worker.pid, "SIGTERM");
    expect((await submitter.exit()).code, submitter.output).toBe(12);
    expect(submitter.output).toContain("got its shutdown; worker w; submit the job again");
    expect((await worker.exit()).code).toBe(0);
    // What it had done waits on its disk for the worker's next start.
    const again = cluster.start("worker", ["--name", "w", "--work-dir", home]);
    await again.waitFor("Worker started");
    const results = join(cluster.directory, "later");
    const back = await cluster.submit(["--retrieve", jobId, "--output-dir", results]);
    expect(back.code, back.output).toBe(12);
    expect(await readdir(results)).toContain("T-N(1)-R(1)-ID(0)-CODEC(plain.Plain).csv");
  });
});
