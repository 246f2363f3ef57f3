import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const JOB_SUBMIT = fileURLToPath(new URL("../../jobs/bin/job-submit.js", import.meta.url));
const WATCHDOG = new URL("../../packages/cli/dist/node-watchdog.js", import.meta.url).href;

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** What was written to descriptor 3. */
  readonly events: string;
}

let work: string;
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), "psgd-cli-"));
  await mkdir(join(work, "folder.ts"));
  await mkdir(join(work, "tmp"));
  const codec = (name: string, body: string): string =>
    `import { Codec } from "@psgd/core";\nexport class ${name} extends Codec {\n  static carries = "gradients";\n  updateBlocks(block) { ${body} }\n}\n`;
  for (const [name, content] of Object.entries({
    file: "",
    "empty.ts": "",
    "syntax.ts": "export class {\n",
    "endless.js": codec("Endless", "for (;;) {}"),
    "thrower.js": codec("Thrower", 'throw new Error("boo");'),
  }))
    await writeFile(join(work, name), content);
});
afterAll(() => rm(work, { recursive: true, force: true }));

function run(args: readonly string[]): Promise<Ended> {
  const child = spawn(process.execPath, args, {
    cwd: work,
    env: { ...process.env, XDG_CACHE_HOME: join(work, "cache"), TMPDIR: join(work, "tmp") },
    stdio: ["ignore", "pipe", "pipe", "pipe"],
  });
  const texts = ["", "", ""];
  [child.stdout, child.stderr, child.stdio[3]!].forEach((stream, index) =>
    stream!.on("data", (chunk: Buffer) => {
      texts[index] = `${texts[index] ?? ""}${chunk.toString()}`;
    }),
  );
  return new Promise((resolve) => {
    child.on("close", (code, signal) =>
      resolve({ code, signal, stdout: texts[0]!, stderr: texts[1]!, events: texts[2]! }),
    );
  });
}

const submit = (...args: readonly string[]): Promise<Ended> =>
  run([JOB_SUBMIT, "--local", "--dataset", "simlin", "--model", "linear", "--steps", "3", ...args]);

/** One line on stderr, no stack, and nothing left in the working directory. */
async function expectOneLine(ended: Ended, code: number, text: RegExp): Promise<void> {
  expect(ended.stderr).toMatch(text);
  expect(ended.stderr.trimEnd().split("\n")).toHaveLength(1);
  expect(ended.code).toBe(code);
  // onnxruntime-node leaves files of its own there.
  expect((await readdir(join(work, "tmp"))).filter((name) => name.startsWith("psgd"))).toEqual([]);
}

describe.concurrent("job-submit --local", () => {
  it("with --engine auto says in the training log what it has taken", async ({ expect }) => {
    const { code, stderr } = await submit("--engine", "auto", "--output-dir", "auto");
    expect([code, stderr]).toEqual([0, ""]);
    const logs = join(work, "auto", "tmp_log");
    const [name] = (await readdir(logs)).filter((file) => file.startsWith("Training log"));
    expect(await readFile(join(logs, name!), "utf8")).toMatch(
      /Engine: [\w-]+ \([\d.e+-]+ ms a step; .*\)\.\n/,
    );
  });

  it("refuses an engine that does not work here before anything starts", async ({ expect }) => {
    const ended = await run([
      JOB_SUBMIT,
      "--local",
      "--dataset",
      "simlin",
      "--engine",
      "onnx-cuda",
    ]);
    // On a machine with CUDA it trains.
    if (ended.code === 0) return;
    expect([ended.code, ended.stdout]).toEqual([
      11,
      expect.not.stringContaining("Reply requirements"),
    ]);
    expect(ended.stderr).toMatch(/^BACKEND_UNAVAILABLE: onnx-cuda engine: /);
  });

  it("trains, exits with 0, and leaves traces, logs, model and manifest", async ({ expect }) => {
    const { code, stdout, stderr } = await submit(
      ..."--codec tutorial_codec.myComCtrl --node_count 2 --output-dir good".split(" "),
    );
    expect([code, stderr]).toEqual([0, ""]);
    for (const line of [
      "--codec <communication codec and protocol tutorial_codec.MyComCtrl>",
      "Add worker (Rule: Worker, Id: 0, Address: local).",
      "Try connecting to the cluster.",
      "Connection with cluster established.",
      "Reply requirements to node(0), type(global_setting_package).",
      "Reply requirements to node(1), type(data_sample_package).",
      "2 nodes total, {0, 1} is ready.",
      "Restoring data (T-N(2)-R(1)-ID(0)-CODEC(tutorial_codec.MyComCtrl).csv) from 0.",
    ])
      expect(stdout).toContain(line);
    const names = (await readdir(join(work, "good"))).sort();
    expect(names.slice(0, 6)).toEqual(
      ["E", "L", "T"].flatMap((kind) =>
        [0, 1].map((id) => `${kind}-N(2)-R(1)-ID(${id})-CODEC(tutorial_codec.MyComCtrl).csv`),
      ),
    );
    expect(names.slice(6)).toEqual([expect.stringMatching(/^job-\d{8}-\d{6}-\w{7}$/), "tmp_log"]);
    const trace = await readFile(join(work, "good", names[4]!), "utf8");
    expect(trace.trimEnd().split("\n")).toHaveLength(4);
  });

  it("says only JSON, line by line, where JSON is asked for, an error too", async ({ expect }) => {
    const { code, stdout, stderr } = await submit(
      "--json",
      "--codec",
      "thrower",
      "--output-dir",
      "json",
    );
    const values = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect([code, stderr]).toEqual([13, ""]);
    expect(values.filter(({ type }) => type === "error")).toEqual([
      {
        type: "error",
        code: "CODEC_THREW",
        message: expect.stringMatching(/^CODEC_THREW: .*boo.*node 0/) as string,
        exitCode: 13,
      },
    ]);
  });

  it("ends a codec that never returns", async ({ expect }) => {
    const { code, stderr } = await submit(
      ..."--codec endless --codec-timeout 1 --output-dir endless".split(" "),
    );
    expect(stderr).toMatch(/^CODEC_TIMEOUT: event loop: expected a turn within 1000 ms/);
    expect(code).toBe(13);
  });
});

describe("job-submit that cannot begin", () => {
  it.each<[string, number, RegExp]>([
    ["--node_count two --epochs 0", 2, /^SETTINGS_INVALID: `--node-count`.*`--epochs`/],
    ["--nod_count 2", 2, /^SETTINGS_INVALID: .*did you mean `--node_count`\?/],
    ["--redundancy 5 --node_count 2", 2, /^ASSIGNMENT_INVALID: /],
    ["--node_count 1e9 --block_assignment duplicate", 2, /^ASSIGNMENT_INVALID: /],
    ["--codec plian.Plain", 13, /^CODEC_LOAD_FAILED: .*did you mean `plain`\?/],
    ["--codec empty", 13, /^CODEC_LOAD_FAILED: .*expected one exported class/],
    ["--codec folder", 13, /^CODEC_LOAD_FAILED: /],
    ["--codec syntax", 13, /^CODEC_LOAD_FAILED: .*syntax\.ts:1:\d+: /],
    ["--output-dir file", 15, /^STORE_FAILED: .*expected a directory that can be written/],
  ])("%s: one line, no stack, nothing left", async (line, code, text) => {
    const before = await readdir(work);
    await expectOneLine(await submit(...line.split(" ")), code, text);
    expect((await readdir(work)).filter((name) => name !== "cache")).toEqual(
      before.filter((name) => name !== "cache"),
    );
  });
});

describe("the watchdog of a node's process", () => {
  async function watched(body: string): Promise<Ended> {
    const file = join(work, `watched-${body.length}.mjs`);
    const start = `import { startWatchdog } from ${JSON.stringify(WATCHDOG)};\nstartWatchdog(3, 700);\n`;
    await writeFile(file, start + body);
    return run([file]);
  }

  it("reports a main thread that has no turn, and ends the process", async () => {
    const { signal, events } = await watched("setTimeout(() => { for (;;) {} }, 300);");
    expect(signal).toBe("SIGKILL");
    expect(JSON.parse(events)).toMatchObject({
      type: "dying",
      error: {
        code: "CODEC_TIMEOUT",
        message: expect.stringContaining("a turn within 700 ms, got none; node 3") as string,
      },
    });
  });

  it("lets one be that works on", async () => {
    const { code, events } = await watched("setTimeout(() => process.exit(0), 2_000);");
    expect([code, events]).toEqual([0, ""]);
  });
});
