import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startNode } from "./support/processes.js";

const SCRIPTS = {
  p2p: fileURLToPath(new URL("dist/p2p_test_script.js", import.meta.url)),
  ps: fileURLToPath(new URL("dist/ps_test_script.js", import.meta.url)),
};

async function run(
  script: keyof typeof SCRIPTS,
  ...args: string[]
): Promise<{ code: number | null; stdout: string; output: string }> {
  await using child = startNode([SCRIPTS[script], ...args]);
  const { code } = await child.exit();
  return { code, stdout: child.stdout, output: child.output };
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "psgd-codecs-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** A codec file outside of the project. @returns its path */
async function codecFile(name: string, code: string): Promise<string> {
  const path = join(folder, `${name}.ts`);
  await writeFile(
    path,
    `import { Codec, PARAMETER_SERVER, netEncapsulation, type BlockWeight, type CodecReturn } from "@psgd/core";\n${code}`,
  );
  return path;
}

describe("p2p_test_script", () => {
  it("tests the codec its top names, and says so in the seed's words", async () => {
    const { code, stdout } = await run("p2p");
    expect(code).toBe(0);
    const lines = new Set(stdout.trimEnd().split("\n"));
    for (const line of [
      "INFO: ----------- Node:0 Transmitting to 1 successful -----------",
      "INFO: ----------- Node:3 Decode successful -----------",
      "INFO: -----------Test complete 1/10 -----------",
      "INFO: -----------Test complete 10/10 -----------",
      "INFO: All test input_ref was handled without exception.",
      "INFO: The codec is usable in a synchronous environment.",
      "WARNING: The functionality of the codec cannot be tested here.",
      "WARNING: Use Mathematical analysis to make sure that your codec process didn't prevents SGD from properly convergence.",
    ])
      expect(lines).toContain(line);
  });

  it("takes either spelling of its arguments, and uses the assignment", async () => {
    const size = ["--node_count", "4", "--redundancy", "2", "--rounds", "2"];
    const blockCounts = [];
    for (const assignment of ["iid", "duplicate"]) {
      const { code, stdout } = await run(
        ...(["p2p", "--codec", "plain.Plain", ...size, "--assignment", assignment] as const),
      );
      expect(code).toBe(0);
      blockCounts.push(Number(/: (\d+) messages/.exec(stdout)?.[1]));
    }
    // Both holders of each of 6 blocks, or 2, send it to the two nodes that lack it, in 2 rounds.
    expect(blockCounts).toEqual([6 * 2 * 2 * 2, 2 * 2 * 2 * 2]);
  });

  it("repeats a run from its seed", async () => {
    const args = ["--codec", "plain.Plain", "--seed", "7", "--rounds", "3"] as const;
    const [first, second, other] = [
      await run("p2p", ...args),
      await run("p2p", ...args),
      await run("p2p", ...args, "--seed=8"),
    ];
    expect(first.stdout).toBe(second.stdout);
    // Given twice, a number is refused.
    expect(other.code).toBe(2);
  });

  it("forwards what receiveBlocks returns", async () => {
    const path = await codecFile(
      "circle",
      `export class Circle extends Codec {
        static override readonly carries = "gradients";
        override updateBlocks({ content }: BlockWeight): CodecReturn {
          if (this.nodeId === 0) return netEncapsulation(1, content);
        }
        override receiveBlocks(content: unknown): CodecReturn {
          this.setResult((content as Float32Array).slice());
          if (this.nodeId !== 0) return netEncapsulation((this.nodeId + 1) % this.settings.nodeCount, content);
        }
      }`,
    );
    expect((await run("p2p", "--codec", path, "--tolerance", "10")).code).toBe(0);
    const checked = await run("p2p", "--codec", path);
    expect(checked.code).toBe(13);
    expect(checked.output).toMatch(
      /CODEC_WRONG_RESULT: result of round 0: expected the mean .*seed 1/,
    );
  });

  it("shows where a codec threw, by the line of its own file", async () => {
    const path = await codecFile(
      "broken",
      `export class Broken extends Codec {
        static override readonly carries = "gradients";
        override updateBlocks(): void {
          throw new Error("planted");
        }
      }`,
    );
    const { code, output } = await run("p2p", "--codec", `${path}.Broken`);
    expect(code).toBe(13);
    expect(output).toMatch(/Error: planted\n\s+at .*broken\.ts:5/);
    expect(output).toMatch(
      /CODEC_THREW: updateBlocks threw: planted; codec Broken, node \d, step 0, block \d; seed 1, schedule 0/,
    );
  });

  it("says who waits for whom where a codec does not come to a result", async () => {
    const path = await codecFile(
      "mute",
      `export class Mute extends Codec {
        static override readonly carries = "gradients";
        override updateBlocks({ blockId }: BlockWeight): CodecReturn {
          return this.nodeId === 2 ? undefined : netEncapsulation(this.settings.nodesWithout(blockId), [blockId]);
        }
      }`,
    );
    const { code, output } = await run("p2p", "--codec", path);
    expect(code).toBe(14);
    expect(output).toContain("WARNING: Timeout occurred while get the result from worker 0.");
    expect(output).toContain("ERROR: Timeout occurred and retry mechanism is not available.");
    expect(output).toMatch(
      /SYNC_TIMEOUT: result of round 0: .*node 3 waits in round 0 .*node 3 waits in step 0 for block 2 of node 2, never heard.*seed 1/,
    );
  });

  it.each([
    [["--codec", "plain.Nobody"], 13, /CODEC_LOAD_FAILED: .*class Nobody .*got Plain/],
    [["--codec", "nowhere.Plain"], 13, /CODEC_LOAD_FAILED: .*looked for .*nowhere\.ts/],
    [["--codecs", "plain.Plain"], 2, /SETTINGS_INVALID: `codecs`: .*did you mean `--codec`/],
    [["--node-count", "5", "--redundancy", "2"], 2, /ASSIGNMENT_INVALID: .*use 4 or 6 nodes/],
    [["--redundancy", "9", "--assignment", "iid"], 2, /ASSIGNMENT_INVALID: redundancy: /],
    [["--rounds", "0", "--param", "x"], 2, /`--rounds`: .*got 0; `--param`: expected NAME=VALUE/],
    [["--sync", "bsp"], 2, /SETTINGS_INVALID: `--sync`: expected one of ssgd, asgd/],
    [["--codec", "fedavg.FedAvgClient"], 2, /PAIRING_INVALID: .*npm run test:ps/],
  ])("refuses %j with exit code %i", async (args, exitCode, text) => {
    const { code, output } = await run("p2p", ...args);
    expect(output).toMatch(text);
    expect(code).toBe(exitCode);
  });

  it("teaches with --help", async () => {
    const { code, stdout } = await run("p2p", "--help");
    expect(code).toBe(0);
    for (const text of ["--assignment", "--schedules", "setResult", "npm run test:p2p -- --codec"])
      expect(stdout).toContain(text);
    expect(stdout).not.toContain("--server-codec");
  });
});

describe("ps_test_script", () => {
  it("tests the pair its top names, and takes parameters", async () => {
    const { code, stdout } = await run("ps", "--param", "local_steps=2");
    expect(code).toBe(0);
    expect(stdout).toContain("INFO: ----------- Node:-2 Transmitting to 3 successful -----------");
    // Every second of 10 rounds, 4 up and 4 down.
    expect(stdout).toContain("40 messages");
  });

  it("takes the server that a codec declares, or another", async () => {
    const declared = ["--codec", "naive_ps.PSClient", "--psgd", "asgd"] as const;
    expect((await run("ps", ...declared)).code).toBe(0);
    const other = await run("ps", ...declared, "--server_codec", "naive_ps.ParaAveragingServer");
    expect(other.code).toBe(0);
    const wrong = await run(
      "ps",
      "--codec",
      "plain.Plain",
      "--server-codec",
      "fedavg.FedAvgServer",
    );
    expect(wrong.output).toContain("PAIRING_INVALID");
    expect(wrong.code).toBe(2);
    const none = await run("ps", "--codec", "plain.Plain");
    expect(none.output).toMatch(/PAIRING_INVALID: .*--server-codec.*npm run test:p2p/);
  });

  it("lets nodes talk to each other besides", async () => {
    const path = await codecFile(
      "both",
      `export class Sum extends Codec {
        static override readonly carries = "weights";
        override receiveBlocks([node, weights]: [number, Float32Array]): CodecReturn {
          return netEncapsulation(node, weights);
        }
      }
      export class Both extends Codec {
        static override readonly carries = "weights";
        static override readonly server = Sum;
        override *updateBlocks({ content }: BlockWeight): Generator<ReturnType<typeof netEncapsulation>> {
          yield netEncapsulation(PARAMETER_SERVER, [this.nodeId, content]);
          yield netEncapsulation(this.settings.nodes.filter((node) => node !== this.nodeId), "hello");
        }
        override receiveBlocks(content: unknown): void {
          if (content !== "hello") this.setResult(content as Float32Array);
        }
      }`,
    );
    const args = ["--codec", path, "--sync", "asgd", "--rounds", "3"];
    const { code, stdout } = await run("ps", ...args);
    expect(code).toBe(0);
    expect(stdout).toContain("Node:2 Transmitting to 0 successful");
    expect(stdout).toContain(`${3 * 4 * (1 + 1 + 3)} messages`);
  });
});
