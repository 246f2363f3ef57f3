import { once } from "node:events";
import { cpSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fencesOf } from "../support/markdown.js";
import { startNode, startShell, type CliProcess } from "../support/processes.js";
import { PROJECT_ROOT } from "../support/project-root.js";
import { jsonOf, textOf } from "../support/repository.js";

const TIMEOUT_MS = 120_000;
const TEXT = textOf("README.md");

/** What a service says when it is there. */
const READY = { "npm run nats-server": "Server is ready", "npx worker": "Worker started" };

/** The README's own terminal: a copy of the project in which its blocks run one after the other. */
class Terminal implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), "psgd-readme-"));
  /** Output of all blocks so far. */
  output = "";
  readonly #services: CliProcess[] = [];
  readonly #env: Record<string, string | undefined>;
  readonly #port: number;

  constructor(port: number) {
    this.#port = port;
    const written = ["codecs", "tmp_log", "psgd-results", "worker.json"];
    for (const entry of readdirSync(PROJECT_ROOT)) {
      if (!written.includes(entry))
        symlinkSync(join(PROJECT_ROOT, entry), join(this.directory, entry));
    }
    cpSync(join(PROJECT_ROOT, "codecs"), join(this.directory, "codecs"), { recursive: true });
    this.#env = {
      // What npm tells the scripts it runs would lead the commands back to the project itself.
      ...Object.fromEntries(
        Object.keys(process.env)
          .filter((name) => name.startsWith("npm_") || name === "INIT_CWD")
          .map((name) => [name, undefined]),
      ),
      NATS_URL: `nats://127.0.0.1:${port}`,
      XDG_CACHE_HOME: join(this.directory, "cache"),
      PSGD_DATA_DIR: undefined,
      // No test waits for hosts outside: the quickstart finds that MNIST cannot be had.
      NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(
        'globalThis.fetch = async () => { throw new Error("no network in tests"); };',
      )}`,
    };
  }

  /** Line by line: a later one may name the job that an earlier one has started. */
  async run(code: string): Promise<string> {
    let output = "";
    for (const line of code.split("\n")) output += await this.#runLine(line);
    return output;
  }

  async #runLine(line: string): Promise<string> {
    await using shell = startShell(this.#adapted(line), { cwd: this.directory, env: this.#env });
    const { code: exitCode } = await shell.exit(TIMEOUT_MS);
    this.output += shell.output;
    expect(exitCode, shell.output).toBe(0);
    return shell.output;
  }

  async serve(code: string): Promise<void> {
    const service = startShell(this.#adapted(code), { cwd: this.directory, env: this.#env });
    this.#services.push(service);
    const [, ready] = Object.entries(READY).find(([command]) => code.startsWith(command)) ?? [];
    if (ready === undefined)
      throw new Error(`${code}: expected one of ${Object.keys(READY).join(", ")}`);
    await service.waitFor(ready);
  }

  write(file: string, content: string): void {
    writeFileSync(join(this.directory, file), `${content}\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const service of this.#services.reverse()) await service[Symbol.asyncDispose]();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** The three differences to what a reader types: nothing is installed, a free port is used, JOB is the last job. */
  #adapted(code: string): string {
    const jobId = [...this.output.matchAll(/\(job ([\w-]+)\)/g)].at(-1)?.[1];
    return code
      .replaceAll("npm ci && ", "")
      .replace(/^npm run nats-server$/m, `$& -- --addr 127.0.0.1 --port ${this.#port}`)
      .replaceAll(/\bJOB\b/g, () => jobId ?? "no-job-was-submitted");
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

describe("the README, read from top to bottom", () => {
  let terminal: Terminal;
  beforeAll(async () => {
    terminal = new Terminal(await freePort());
  });
  afterAll(() => terminal[Symbol.asyncDispose]());

  /** By codec: what each node said at the end of its job on this machine. */
  const ends = new Map<string, { accuracy: number; sent: string }>();

  for (const { language, info, code, line } of fencesOf(TEXT)) {
    it(
      `line ${line}: ${code.split("\n")[0]!}`,
      async ({ skip }) => {
        if (code.endsWith("npm test")) return skip("it is what runs at this moment");
        if (info === "service") {
          await terminal.serve(code);
          return;
        }
        if (language === "sh") {
          const output = await terminal.run(code);
          const [, codec] = /--local --codec (\S+)/.exec(code) ?? [];
          const [, accuracy, sent] = /accuracy: ([\d.]+), sent (.*?),/.exec(output) ?? [];
          if (codec !== undefined) ends.set(codec, { accuracy: Number(accuracy), sent: sent! });
          return;
        }
        if (info !== "") {
          terminal.write(info, code);
          return;
        }
        // The help of the programs, which another check compares.
        expect(language).toBe("text");
      },
      TIMEOUT_MS,
    );
  }

  it("compiles the codecs it has the reader write", async () => {
    const tsc = join(PROJECT_ROOT, "node_modules/typescript/bin/tsc");
    await using compiler = startNode([tsc, "--noEmit", "-p", "codecs"], {
      cwd: terminal.directory,
    });
    const { code } = await compiler.exit(TIMEOUT_MS);
    expect(code, compiler.output).toBe(0);
  });

  it("tells the truth about what the codecs send and reach", () => {
    const plain = ends.get("my_codec.MyComCtrl")!;
    const improved = ends.get("my_int8.MyInt8")!;
    expect([plain.sent, improved.sent]).toEqual([
      /what it sent: (.+?) here/.exec(TEXT)?.[1],
      /a node sends (.+?): a quarter/.exec(TEXT)?.[1],
    ]);
    expect(plain.accuracy).toBeGreaterThan(0.75);
    expect(Math.abs(plain.accuracy - improved.accuracy)).toBeLessThan(0.03);
  });

  it("leaves the files it promises", () => {
    const files = readdirSync(terminal.directory, { recursive: true }) as string[];
    for (const pattern of [
      /^T-N\(2\)-R\(1\)-ID\(0\)-CODEC\(my_codec\.MyComCtrl\)\.csv$/,
      /^E-N\(2\)-R\(1\)-ID\(1\)-CODEC\(fedavg\.FedAvgClient\)\.csv$/,
      /^job-[\w-]+\/model\/model\.json$/,
      /^job-[\w-]+\/model\/model\.safetensors$/,
      /^job-[\w-]+\/manifest\.json$/,
      /^tmp_log\/P-SGD Submit/,
      /^tmp_log\/Training log/,
    ]) {
      expect(files.filter((file) => pattern.test(file))).not.toEqual([]);
    }
  });

  it("has cancelled the last job, and retrieved those before", async () => {
    const output = await terminal.run("npx job-submit --retrieve JOB && exit 1 || test $? = 16");
    expect(output).toContain("JOB_CANCELLED");
    const jobs = JSON.parse(
      // The last line: npm may have had something to say before.
      (await terminal.run("npx psgd jobs --json")).trim().split("\n").at(-1)!,
    ) as {
      state: string;
      isRetrieved: boolean;
    }[];
    expect(jobs.map(({ state }) => state)).toEqual(["cancelled", "done", "done", "done"]);
    expect(jobs.every(({ isRetrieved }) => isRetrieved)).toBe(true);
  });
});

describe("jobs/worker.example.json", () => {
  it("is the one of the tutorial that this follows", () => {
    expect(jsonOf("jobs/worker.example.json")).toEqual({
      PS: "192.168.1.1",
      Worker: ["192.168.1.2", "192.168.1.3"],
    });
  });
});
