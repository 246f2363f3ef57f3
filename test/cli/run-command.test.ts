import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";

const RUN_COMMAND = new URL("../../packages/cli/dist/run-command.js", import.meta.url).href;
const CORE = new URL("../../packages/core/dist/index.js", import.meta.url).href;

function run(command: string, isJson = false): { status: number | null; out: string; err: string } {
  const program = `
    import { runCommand } from ${JSON.stringify(RUN_COMMAND)};
    import { PsgdError } from ${JSON.stringify(CORE)};
    await runCommand(async () => { ${command} }, ${isJson});`;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["--input-type=module", "--eval", program],
    { encoding: "utf8" },
  );
  return { status, out: stdout, err: stderr };
}

describe("a command", () => {
  it("exits with its code although a timer would keep the process alive", () => {
    expect(run("setInterval(() => {}, 1000); return 7;")).toEqual({ status: 7, out: "", err: "" });
  });

  it("says an error of ours once, without a stack", () => {
    expect(run('throw new PsgdError("NODE_LOST", "node 1: gone");')).toEqual({
      status: 12,
      out: "",
      err: "NODE_LOST: node 1: gone\n",
    });
  });

  it("says it as JSON where the output is JSON", () => {
    const { status, out, err } = run('throw new PsgdError("NODE_LOST", "node 1: gone");', true);
    expect([status, err]).toEqual([12, ""]);
    expect(JSON.parse(out)).toEqual({
      type: "error",
      code: "NODE_LOST",
      message: "NODE_LOST: node 1: gone",
      exitCode: 12,
    });
  });

  it("shows the stack of what is a bug, and says that it is one", () => {
    const { status, err } = run('throw new TypeError("x is not a function");');
    expect(status).toBe(20);
    expect(err).toMatch(/^x is not a function\nTypeError: .*\n {4}at /);
    expect(err).toContain("This is a bug of parallel-sgd.");
  });

  it("gets out all it has written before it exits", () => {
    const { out } = run('process.stdout.write("x".repeat(800_000)); return 0;');
    expect(out.length).toBe(800_000);
  });
});
