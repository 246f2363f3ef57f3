import { execFile } from "node:child_process";
import { cp, mkdir, readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connectNats } from "@psgd/transport";
import { WITHOUT_MNIST, hasMnist } from "../support/has-mnist.js";
import { readManifest, startCluster, startWorker, type Cluster } from "../support/cluster.js";
import { PROJECT_ROOT } from "../support/project-root.js";
import { startCli } from "../support/processes.js";

const SHORT = "--codec plain.Plain --dataset simlin --model linear --steps 5".split(" ");
/** A model of 473 KB. */
const LARGE = "--codec plain.Plain --dataset digits --steps 5".split(" ");

describe("without a broker", () => {
  test.concurrent.for(["worker", "job-submit", "psgd"] as const)(
    "%s says where it looked, what to start, and exits with 10",
    async (command, { expect }) => {
      await using process = startCli(
        command,
        { worker: [], "job-submit": SHORT, psgd: ["nodes"] }[command],
        // Port 1 is reserved: nothing listens there.
        { env: { NATS_URL: "nats://127.0.0.1:1" } },
      );
      expect((await process.exit()).code, process.output).toBe(10);
      expect(process.output).toMatch(
        /^CLUSTER_UNREACHABLE: nothing answers at nats:\/\/127\.0\.0\.1:1; start it with `nats-server -p 1`/m,
      );
    },
  );
});

describe("on a cluster of two", () => {
  let cluster: Cluster;
  const at = (name: string): string => join(cluster.directory, name);
  beforeAll(async () => {
    cluster = await startCluster({ workerCount: 2 });
  });
  afterAll(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  test("too few workers: says how many slots there are, and whose", async () => {
    const { code, output } = await cluster.submit([...SHORT, "--node-count", "3"]);
    expect(code, output).toBe(11);
    expect(output).toMatch(
      /COMMIT_REJECTED: workers: expected 3 free slots .* got 2; answering: w1 \(1 of 1 slots free\), w2 .*start more with `worker`/,
    );
  });

  test("an engine that no worker has: says who has it not", async () => {
    const { engines } = (await cluster.answering())[0]!;
    const missing = ["onnx-cuda", "onnx-webgpu", "tensorflow"].find(
      (name) => !engines.includes(name),
    );
    if (missing === undefined) return;
    const { code, output } = await cluster.submit([...SHORT, "--engine", missing]);
    expect(code, output).toBe(11);
    expect(output).toMatch(
      `COMMIT_REJECTED: workers: expected 1 free slots with engine ${missing} (node 0), got 0; ` +
        `answering: w1 (1 of 1 slots free, no engine ${missing}), w2`,
    );
  });

  test("redundancy larger than the nodes is refused before anything is sent", async () => {
    const { code, output } = await cluster.submit([
      ...SHORT,
      ...["--node-count", "2", "--redundancy", "3"],
    ]);
    expect(code, output).toBe(2);
    expect(output).toMatch(/ASSIGNMENT_INVALID: redundancy: .*1 to the node count 2, got 3; lower/);
    expect(cluster.workers[0]!.output).not.toContain("got 3");
  });

  test("a worker.json that names a machine which is gone", async () => {
    await writeFile(at("gone.json"), `{"Worker": ["w1", "w9"]}`);
    const { code, output } = await cluster.submit([
      ...SHORT,
      ...["--node-count", "2", "--workers", at("gone.json")],
    ]);
    expect(code, output).toBe(11);
    expect(output).toContain("no worker answers as w9 (node 1)");
  });

  test("a worker of another version is named where it was asked for, and else passed over", async () => {
    const { transport, directory } = await connectNats({
      servers: cluster.server.url,
      name: "test",
    });
    const [info] = (await cluster.answering()).filter(({ name }) => name === "w1");
    const listener = await directory.announce(() => ({
      ...info!,
      workerId: "future",
      name: "w0",
      protocol: 99,
      version: "99.0.0",
    }));
    try {
      const file = at("versions.json");
      await writeFile(file, `{"Worker": ["w2", "w0"]}`);
      const named = await cluster.submit([...SHORT, ...["--node-count", "2", "--workers", file]]);
      expect(named.code, named.output).toBe(11);
      expect(named.output).toMatch(
        /w0 \(node 1\) has version 99\.0\.0; install the same .*protocol 99 instead of 1/,
      );
      const idle = await cluster.submit([...SHORT, "--output-dir", at("passed-over")]);
      expect(idle.code, idle.output).toBe(0);
    } finally {
      listener.close();
      await transport.close();
    }
    await cluster.idle();
  });

  test("a learning rate that lets the loss explode ends with the step and the remedy", async () => {
    const { code, output } = await cluster.submit([
      ...["--codec", "plain.Plain", "--dataset", "simlin", "--model", "linear"],
      ...["--node-count", "2", "--learn-rate", "1e30", "--output-dir", at("exploded")],
    ]);
    expect(code, output).toBe(13);
    expect(output).toMatch(/NOT_FINITE: .* of step \d+: .*node [01].*lower `--learn-rate`/);
    await cluster.idle();
  });

  test("a corrupt data file is named with both its hashes", async ({ skip }) => {
    skip(!hasMnist(), WITHOUT_MNIST);
    const data = at("data");
    await mkdir(data);
    await cp(join(process.env["PSGD_DATA_DIR"]!, "mnist"), join(data, "mnist"), {
      recursive: true,
    });
    const [damaged] = (await readdir(join(data, "mnist"))).filter((name) =>
      name.startsWith("train-images"),
    );
    await truncate(join(data, "mnist", damaged!), 100_000);
    await using submitter = startCli("job-submit", ["--local", "--steps", "1"], {
      cwd: cluster.directory,
      env: { PSGD_DATA_DIR: data },
    });
    expect((await submitter.exit()).code, submitter.output).toBe(15);
    expect(submitter.output).toMatch(/DATA_CORRUPT: .*train-images/);
  });

  test("a malformed message to a worker is refused, and harms nobody", async () => {
    const { transport } = await connectNats({ servers: cluster.server.url, name: "hostile" });
    const [info] = await cluster.answering();
    for (const bytes of [[], [0], Array<number>(64).fill(255)])
      transport.send(info!.address, Uint8Array.from(bytes));
    await transport.flush();
    await transport.close();
    const { code, output } = await cluster.submit([
      ...SHORT,
      ...["--node-count", "2", "--output-dir", at("unharmed")],
    ]);
    expect(code, output).toBe(0);
  });
});

// A limit on the size of files stops a write in its middle, as a full disk does (EFBIG for ENOSPC).
describe("a disk that takes no more", () => {
  const limited = (
    command: "worker" | "job-submit",
    kilobytes: number,
    args: readonly string[],
  ) => {
    const folder = command === "worker" ? "workers" : "jobs";
    const entry = join(PROJECT_ROOT, folder, "bin", `${command}.js`);
    return {
      file: "bash",
      args: ["-c", `ulimit -f ${kilobytes}; exec "$@"`, "bash", process.execPath, entry, ...args],
    };
  };
  const run = (
    { file, args }: ReturnType<typeof limited>,
    options: { cwd: string; env: NodeJS.ProcessEnv },
  ): Promise<{ code: unknown; output: string }> =>
    new Promise((resolve) => {
      execFile(file, args, options, (error, stdout, stderr) =>
        resolve({ code: error?.code ?? 0, output: stdout + stderr }),
      );
    });

  test("at the submitter's: the results stay with the workers, and come home elsewhere", async () => {
    await using cluster = await startCluster({ workerCount: 1 });
    const { code, output } = await run(limited("job-submit", 100, LARGE), {
      cwd: cluster.directory,
      env: { ...process.env, NATS_URL: cluster.server.url },
    });
    expect(code, output).toBe(15);
    expect(output).toMatch(/STORE_FAILED: .*model/);
    const [, jobId] = /job-submit --retrieve ([\w-]+) --output-dir/.exec(output)!;
    const results = join(cluster.directory, "elsewhere");
    const back = await cluster.submit(["--retrieve", jobId!, "--output-dir", results]);
    expect(back.code, back.output).toBe(0);
    const { home } = await readManifest(results);
    expect((await readFile(join(home, "model", "weights.bin"))).length).toBe(4 * 118_282);
  });

  test("at a worker's: the job is called off everywhere, and nothing is half started", async () => {
    await using cluster = await startCluster({ workerCount: 1 });
    const home = join(cluster.directory, "full");
    await mkdir(home);
    const { file, args } = limited("worker", 100, ["--name", "w0", "--work-dir", home]);
    const full = execFile(file, args, {
      cwd: home,
      env: { ...process.env, NATS_URL: cluster.server.url },
    });
    try {
      await new Promise<void>((resolve) => {
        full.stdout!.on("data", (text: string) => {
          if (text.includes("Worker started")) resolve();
        });
      });
      const { code, output } = await cluster.submit([...LARGE, "--node-count", "2"]);
      expect(code, output).toBe(15);
      expect(output).toMatch(/STORE_FAILED: .*packages\/.*expected to write it/);
      await cluster.idle();
      const next = await cluster.submit([...LARGE, "--output-dir", join(home, "next")]);
      expect(next.code, next.output).toBeTypeOf("number");
    } finally {
      full.kill();
    }
  });
});

test("a worker that is frozen is not counted on, and takes jobs again when it thaws", async () => {
  await using cluster = await startCluster({ workerCount: 1 });
  const frozen = await startWorker(cluster, "w2");
  const both = [...SHORT, "--node-count", "2"];
  await frozen.kill("SIGSTOP");
  const without = await cluster.submit(both);
  await frozen.kill("SIGCONT");
  expect(without.code, without.output).toBe(11);
  expect(without.output).toMatch(/expected 2 free slots .* got 1; answering: w1 /);
  const { code, output } = await cluster.submit(both);
  expect(code, output).toBe(0);
});
