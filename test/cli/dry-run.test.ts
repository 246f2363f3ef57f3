import { spawn } from "node:child_process";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const JOB_SUBMIT = fileURLToPath(new URL("../../jobs/bin/job-submit.js", import.meta.url));

let work: string;
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), "psgd-dry-run-"));
  const codec = (name: string, body: string): string =>
    `import { Codec } from "@psgd/core";\nexport class ${name} extends Codec {\n  static carries = "gradients";\n  updateBlocks(block) { ${body} }\n}\n`;
  await writeFile(join(work, "thrower.js"), codec("Thrower", 'throw new Error("boo");'));
  await writeFile(join(work, "mute.js"), codec("Mute", ""));
  await writeFile(join(work, "never.js"), codec("Never", "return new Promise(() => {});"));
});
afterAll(() => rm(work, { recursive: true, force: true }));

/** No broker is there: its address is one where nobody listens. */
function dryRun(line: string): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const args = `--dry-run --nats nats://127.0.0.1:1 --dataset simlin --model linear ${line}`;
  const child = spawn(process.execPath, [JOB_SUBMIT, ...args.split(" ")], {
    cwd: work,
    env: { ...process.env, XDG_CACHE_HOME: join(work, "cache") },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name].on("data", (chunk: Buffer) => (texts[name] += chunk.toString()));
  return new Promise((resolve) => {
    child.on("close", (code) => resolve({ code, ...texts }));
  });
}

describe.concurrent("job-submit --dry-run", () => {
  it("says in tables what the job costs, needs no broker and leaves nothing", async ({
    expect,
  }) => {
    const { code, stdout, stderr } = await dryRun("--codec plain.Plain --node-count 3 --steps 5");
    expect([code, stderr]).toEqual([0, ""]);
    for (const text of [
      /^steps +5 per node, 5 tried, 5 of them with messages$/m,
      /^sent per step, over all nodes +.* in 6 messages, \d+ % of fp32/m,
      /^to each worker: data_sample_package +\d/m,
      /^node 2 to node 1 +\d/m,
      /^node 2 +2 /m,
      /^Synchronous: one node that is slow makes all that need it slow/m,
    ])
      expect(stdout).toMatch(text);
    expect((await readdir(work)).sort().filter((name) => name !== "cache")).toEqual([
      "mute.js",
      "never.js",
      "thrower.js",
    ]);
  });

  it("reckons with the bandwidth and the latency that are given", async ({ expect }) => {
    const told = async (line: string): Promise<Record<string, number>> => {
      const { stdout } = await dryRun(
        `--json --codec plain.Plain --node-count 2 --steps 4 ${line}`,
      );
      return JSON.parse(stdout) as Record<string, number>;
    };
    const slow = await told("--bandwidth 8kbit --latency-ms 0");
    // A kilobyte a second; each of two nodes sends half of all bytes, both at once.
    expect(slow["communicationMsPerStep"]).toBeCloseTo(slow["bytesPerStep"]! / 2, 6);
    const far = await told("--bandwidth 8kbit --latency-ms 250");
    expect(far["communicationMsPerStep"]).toBeCloseTo(slow["communicationMsPerStep"]! + 250, 6);
  });

  it.each<[string, number, RegExp]>([
    ["--node_count two", 2, /^SETTINGS_INVALID: `--node-count`/],
    ["--redundancy 5 --node_count 2", 2, /^ASSIGNMENT_INVALID: /],
    ["--codec plian.Plain", 13, /^CODEC_LOAD_FAILED: .*did you mean `plain`\?/],
    ["--codec thrower", 13, /^CODEC_THREW: .*boo.*node 0/],
    ["--codec never --codec-timeout 1", 13, /^CODEC_TIMEOUT: /],
    ["--codec mute --node_count 2", 14, /^SYNC_TIMEOUT: /],
    ["--bandwidth fast", 2, /^SETTINGS_INVALID: `--bandwidth`: expected a number and kbit/],
    ["--latency-ms -1", 2, /^SETTINGS_INVALID: `--latency-ms`: expected a number from 0/],
    ["--detach", 2, /^SETTINGS_INVALID: /],
  ])("%s: fails as submitting does, in one line or an explanation", async (line, code, text) => {
    const ended = await dryRun(line);
    expect(ended.stderr).toMatch(text);
    expect([ended.code, ended.stdout]).toEqual([code, ""]);
  });
});
