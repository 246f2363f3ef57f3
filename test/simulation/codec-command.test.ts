import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PROJECT_ROOT } from "../support/project-root.js";
import { startNode, type CliProcess } from "../support/processes.js";

const psgd = (...args: string[]): CliProcess =>
  startNode([join(PROJECT_ROOT, "packages/cli/bin/psgd.js"), ...args]);

describe("psgd codec", () => {
  let folder: string;
  let tutorial: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "psgd-codec-"));
    tutorial = await readFile(join(PROJECT_ROOT, "codecs/tutorial_codec.ts"), "utf8");
  });
  afterAll(() => rm(folder, { recursive: true }));

  /** The tutorial's codec with one line that is not what it was. */
  async function buggy(name: string, line: string, instead: string): Promise<string> {
    expect(tutorial).toContain(line);
    const path = join(folder, `${name}.ts`);
    await writeFile(path, tutorial.replace(line, instead));
    return path;
  }

  it("test finds nothing wrong with the tutorial's codec", async () => {
    await using run = psgd("codec", "test", "tutorial_codec", "--sync", "ssgd", "--seeds", "100");
    expect((await run.exit(60_000)).code, run.output).toBe(0);
    expect(run.stdout).toContain("tutorial_codec.MyComCtrl, ssgd: 16 checks, nothing is wrong");
  });

  it("test writes a page, and the same as JSON, and never over another file", async () => {
    const page = join(folder, "page.html");
    const args = ["codec", "test", "topk", "--sync", "ssgd", "--seeds", "20", "--page", page];
    await using run = psgd(...args, "--json");
    expect((await run.exit(60_000)).code, run.output).toBe(0);
    const { codec, reports } = JSON.parse(run.stdout) as {
      codec: string;
      reports: { findings: { check: string; curves?: { codec: { bytes: number }[] } }[] }[];
    };
    expect([codec, reports.length]).toEqual(["topk.TopK", 1]);
    const digits = reports[0]!.findings.find(({ check }) => check === "digits")!;
    const html = await readFile(page, "utf8");
    expect(html).toContain("<h1>topk.TopK</h1>");
    expect(html.match(/<svg /g)).toHaveLength(5);
    expect(digits.curves!.codec.at(-1)!.bytes).toBeGreaterThan(0);
    await using again = psgd(...args);
    expect((await again.exit(60_000)).code).toBe(15);
    expect(again.output).toContain("STORE_EXISTS: `--page`: expected a new file");
    expect(await readFile(page, "utf8")).toBe(html);
  });

  it("test names the page itself where nobody does, otherwise than those that are there", async () => {
    const path = await buggy("mute", "return netEncapsulation(", "netEncapsulation(");
    await writeFile(join(folder, "mute.MyComCtrl-conformance.html"), "kept");
    const bin = join(PROJECT_ROOT, "packages/cli/bin/psgd.js");
    const args = ["codec", "test", path, "--sync", "ssgd", "--seeds", "1", "--page"];
    await using run = startNode([bin, ...args], { cwd: folder });
    expect((await run.exit(60_000)).code, run.output).toBe(13);
    expect(run.stdout).toMatch(/^Page: mute\.MyComCtrl-conformance-2\.html$/m);
    const html = await readFile(join(folder, "mute.MyComCtrl-conformance-2.html"), "utf8");
    expect(html).toContain("<h1>mute.MyComCtrl</h1>");
    const kept = await readFile(join(folder, "mute.MyComCtrl-conformance.html"), "utf8");
    expect(kept).toBe("kept");
  });

  it("test explains a tutorial's codec that forgets one node, with the shortest way to it", async () => {
    const path = await buggy(
      "forgetful",
      "return netEncapsulation(this.settings.nodesWithout(blockId),",
      "return netEncapsulation(this.settings.nodesWithout(blockId).slice(1),",
    );
    await using run = psgd("codec", "test", path);
    expect((await run.exit(60_000)).code, run.output).toBe(13);
    expect(run.stdout).toMatch(/^wrong +results +fails in order 1 of 12/m);
    expect(run.stdout).toMatch(/node 1 waits in step 0 for block 0 of node 0.*, never heard/);
    expect(run.stdout).toContain("they wait for each other: node 0 → node 1 → node 0");
    expect(run.stdout).toMatch(/^The shortest way to results:\n2 nodes, 1 step: SYNC_TIMEOUT: /m);
    expect(run.stdout).toMatch(/^ +1\. node \d computes its blocks of step 0$/m);
    expect(run.stdout).toMatch(/^ +1\. +0\.000 ms {2}node 0 starts$/m);
  });

  it("test explains one that keeps the blocks of the last step", async () => {
    const path = await buggy("hoarding", "id)!)));\n    this.#blocks.clear();", "id)!)));");
    await using run = psgd("codec", "test", path, "--sync", "ssgd");
    expect((await run.exit(60_000)).code, run.output).toBe(13);
    expect(run.stdout).toMatch(/^wrong +(mean|order|agreement|results)/m);
  });

  it("names the call that never returns, in every command that calls codecs", async () => {
    const path = await buggy(
      "endless",
      'this.log.info("I have received an package.");',
      "if (this.nodeId === 1) for (;;);",
    );
    const runs = [
      psgd("codec", "test", path),
      psgd("codec", "simulate", path, "--seeds", "20"),
      psgd("codec", "simulate", path, "--seed", "2"),
      psgd(
        ...`submit --dry-run --codec ${path} --node-count 2 --dataset digits --codec-timeout 2`.split(
          " ",
        ),
      ),
      startNode([join(PROJECT_ROOT, "test/dist/p2p_test_script.js"), "--codec", path]),
    ];
    for (const [index, run] of runs.entries()) {
      expect((await run.exit(60_000)).code, run.output).toBe(13);
      expect(run.output).toMatch(
        index === 1
          ? /^CODEC_TIMEOUT: one of the seeds 1 to 20: expected .*; a call of the codec never returns/m
          : /^CODEC_TIMEOUT: receiveBlocks of node 1, call \d+ of all: expected it to end within 5 s, got no end; /m,
      );
    }
  });

  it("lets a call take as long as `--codec-timeout` says", async () => {
    const path = await buggy(
      "thorough",
      'this.log.info("I have received an package.");',
      "if ((globalThis.calls = (globalThis.calls ?? 0) + 1) === 3) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 6_000);",
    );
    const script = join(PROJECT_ROOT, "test/dist/p2p_test_script.js");
    await using run = startNode([script, "--codec", path, "--codec-timeout", "30"]);
    expect((await run.exit(60_000)).code, run.output).toBe(0);
  });

  it("test lets a call that awaits something take no longer than `--codec-timeout` says", async () => {
    const path = await buggy(
      "patient",
      "override receiveBlocks({ block, data }: { block: unknown; data: unknown }): void {",
      `override async receiveBlocks({ block, data }: { block: unknown; data: unknown }): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 1_000));`,
    );
    const args = ["--sync", "ssgd", "--seeds", "1", "--codec-timeout", "0.2"];
    await using run = psgd("codec", "test", path, ...args);
    expect((await run.exit(60_000)).code, run.output).toBe(13);
    expect(run.stdout).toContain("receiveBlocks: expected an answer within 200 ms, got none");
    expect(run.stdout).toContain("or raise `--codec-timeout`");
  });

  it("test lets a codec print: beside the JSON, and more than its reader takes", async () => {
    const path = await buggy(
      "chatty",
      "export class",
      'console.log("x".repeat(1e6));\nexport class',
    );
    const command = ["codec", "test", path, "--sync", "ssgd", "--seeds", "20"];
    await using json = psgd(...command, "--json");
    expect((await json.exit(60_000)).code).toBe(0);
    expect(json.stdout).toMatch(/^\{.*\}\n$/);
    const bin = join(PROJECT_ROOT, "packages/cli/bin/psgd.js");
    const child = spawn(process.execPath, [bin, ...command], {
      stdio: ["ignore", "pipe", "ignore"],
      timeout: 60_000,
    });
    // As `| head` does.
    child.stdout.once("data", () => child.stdout.destroy());
    const [code] = (await once(child, "exit")) as [number | null];
    expect(code).toBe(0);
  });

  it("names the call of a codec that ends its thread or is rejected unseen, and a file that is never loaded", async () => {
    const message = 'this.log.info("I have received an package.");';
    const exits = await buggy("exits", message, "process.exit(3);");
    const throwsLate = await buggy(
      "throwsLate",
      "override dispose(): void {",
      'override dispose(): void {\n    throw new Error("no");',
    );
    const runs = [
      psgd("codec", "test", exits),
      psgd(
        "codec",
        "test",
        await buggy("rejects", message, 'void Promise.reject(new Error("unseen"));'),
      ),
      psgd("codec", "test", await buggy("loops", "export class", "for (;;);\nexport class")),
      psgd("codec", "simulate", exits, "--seeds", "20"),
      psgd("codec", "simulate", throwsLate, "--seed", "2"),
    ];
    const said = [
      /^CODEC_THREW: receiveBlocks of node \d, .* got the end of its thread, with exit code 3; /m,
      /^CODEC_THREW: receiveBlocks of node \d, .* got an error outside of it: unseen; .* a promise that nobody awaits/m,
      /^CODEC_TIMEOUT: the top level of its file: expected it to end within 5 s, got no end; /m,
      /^CODEC_THREW: one of the seeds 1 to 20: expected each call to return or throw, got .*exit.* code: 3; /m,
      /^CODEC_THREW: dispose threw: no; codec \w+, node \d, end of the job$/m,
    ];
    for (const [index, run] of runs.entries()) {
      expect((await run.exit(60_000)).code, run.output).toBe(13);
      expect(run.output).toMatch(said[index]!);
    }
  });

  it("simulate runs seeds on all cores, and shows the first that fails", async () => {
    const path = await buggy(
      "hasty",
      "meanOf(this.settings.blocks.map((id) => this.#blocks.get(id)!))",
      "meanOf([...this.#blocks.values()].slice(0, 2))",
    );
    await using fine = psgd(
      ...["codec", "simulate", "tutorial_codec", "--seeds", "300", "--promise", "mean"],
    );
    expect((await fine.exit(60_000)).code, fine.output).toBe(0);
    expect(fine.stdout).toMatch(/^300 seeds in .*\nEvery promise was kept\.\n$/);
    await using run = psgd(
      ...["codec", "simulate", path, "--seeds", "300", "--promise", "agreement"],
    );
    expect((await run.exit(60_000)).code, run.output).toBe(13);
    const seed = /The first is --seed (\d+)\./.exec(run.stdout)?.[1];
    expect(run.stdout).toContain(
      "same model: no two nodes hold different models after the same step",
    );
    await using again = psgd("codec", "simulate", path, "--promise", "agreement", "--seed", seed!);
    expect((await again.exit(60_000)).code, again.output).toBe(13);
    expect(again.stdout).toMatch(/\d+ events, trace [0-9a-f]{16}\n/);
    expect(again.stdout).toContain("The shortest way to the same:");
  });

  it("says what it expects", async () => {
    await using run = psgd("codec", "test", "plain", "--seeds", "0", "--node-count", "x");
    expect((await run.exit(60_000)).code).toBe(2);
    expect(run.output).toContain(
      "SETTINGS_INVALID: `--node-count`: expected a whole number from 1, got NaN; `--seeds`",
    );
  });
});
