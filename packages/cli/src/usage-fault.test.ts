import { describe, expect, it } from "vitest";
import yargs from "yargs";
import { withSubmitOptions } from "./commands/job-submit.js";
import { requireOnce, usageFault } from "./usage-fault.js";

/** What our fail handler makes of a command line. */
async function faultOf(...line: string[]): Promise<string | undefined> {
  let fault: string | undefined;
  await withSubmitOptions(yargs(line))
    .strict()
    .check(requireOnce)
    .exitProcess(false)
    .fail((message, error, self) => {
      let help = "";
      self.showHelp((text: string) => {
        help = text;
      });
      fault ??= usageFault(message || error.message, help);
    })
    .parseAsync();
  return fault;
}

describe("the fault of a command line", () => {
  it("is none if there is none", async () => {
    expect(await faultOf("--codec", "plain", "--param", "a=1", "--param", "b=2")).toBeUndefined();
  });

  it("names every unknown option and the one that was meant", async () => {
    expect(await faultOf("--nod-count", "2", "--codc", "x", "--frobnicate")).toBe(
      "`nod-count`: expected a command or option there is, got none of that name; did you mean `--node-count`?; " +
        "`codc`: expected a command or option there is, got none of that name; did you mean `--codec`?; " +
        "`frobnicate`: expected a command or option there is, got none of that name",
    );
  });

  it("names the choices and the one that was meant", async () => {
    expect(await faultOf("--psgd", "sgd", "--engine", "gpu")).toBe(
      '`--psgd`: expected one of ssgd, asgd, ssp, got "sgd"; did you mean `ssgd`?; `--engine`: expected one of onnx, onnx-cuda, onnx-webgpu, tensorflow, wasm, tfjs, auto, got "gpu"',
    );
  });

  it("names an option that lacks its value", async () => {
    expect(await faultOf("--codec")).toBe("`--codec`: expected a value, got none");
    expect(await faultOf("-n")).toBe("`-n`: expected a value, got none");
  });

  it("names two options that exclude each other", async () => {
    expect(await faultOf("--local", "--detach")).toBe(
      "`--local`: expected it without `--detach`, got both",
    );
  });

  it("names all options that were given twice, in whatever spelling", async () => {
    expect(await faultOf("--node-count", "1", "--node_count", "2", "--nats", "a", "--nats=b")).toBe(
      "`--node-count`: expected it once, got it 2 times; `--nats`: expected it once, got it 2 times",
    );
  });

  it("passes on what it does not know", () => {
    expect(usageFault("something new", "")).toBe("something new");
  });

  it("finds commands in the help too", () => {
    const help = "Commands:\n  psgd job-submit  submit a job\n  psgd nodes       list workers\n";
    expect(usageFault("Unknown argument: job-sumbit", help)).toContain(
      "did you mean `job-submit`?",
    );
  });
});
