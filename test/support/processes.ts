import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { killAtExit } from "./kill-at-exit.js";
import { PROJECT_ROOT } from "./project-root.js";

const DEFAULT_TIMEOUT_MS = 30_000;
const DRAIN_TIMEOUT_MS = 500;
const ENTRIES = {
  worker: "workers/bin/worker.js",
  "job-submit": "jobs/bin/job-submit.js",
  psgd: "packages/cli/bin/psgd.js",
} as const;

/** How a process ended. */
export interface Exit {
  /** Its exit code; null if a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A real process of ours. Use with `await using`: it and all its children end with the scope. */
export interface CliProcess extends AsyncDisposable {
  readonly pid: number;
  /** Everything it wrote so far, both streams in the order of arrival. */
  readonly output: string;
  readonly stdout: string;
  /**
   * Resolves with the match when its output has one; looks at what is there, too.
   * @throws {Error} with the output so far if it ends, or so much time passes, without one
   */
  waitFor(pattern: RegExp | string, timeoutMs?: number): Promise<RegExpExecArray>;
  /**
   * Resolves when it has ended.
   * @throws {Error} with the output so far if it runs on
   */
  exit(timeoutMs?: number): Promise<Exit>;
  /** Sends a signal to it alone, SIGKILL by default, and waits for its end unless the signal only stops or continues. */
  kill(signal?: NodeJS.Signals): Promise<void>;
}

export interface CliOptions {
  readonly cwd?: string;
  /** Added to the environment of the test; undefined removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** Starts one of our commands with the Node.js that runs the test. */
export function startCli(
  entry: keyof typeof ENTRIES,
  args: readonly string[],
  options: CliOptions = {},
): CliProcess {
  return startNode([join(PROJECT_ROOT, ENTRIES[entry]), ...args], options);
}

/** Starts Node.js with these arguments. */
export function startNode(args: readonly string[], options: CliOptions = {}): CliProcess {
  return start(process.execPath, args, options);
}

/** Starts a shell that ends at the first command that fails. */
export function startShell(script: string, options: CliOptions = {}): CliProcess {
  return start("sh", ["-ec", script], options);
}

function start(command: string, args: readonly string[], options: CliOptions): CliProcess {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
    // A process group of its own, so that its children can be ended with it.
    detached: true,
  });
  return new RunningProcess(child, args.join(" "));
}

class RunningProcess implements CliProcess {
  readonly #child: ChildProcess;
  readonly #command: string;
  readonly #exited: Promise<void>;
  readonly #watchers = new Set<() => void>();
  readonly #forget: () => void;
  #output = "";
  #stdout = "";
  #end: Exit | undefined;

  constructor(child: ChildProcess, command: string) {
    this.#child = child;
    this.#command = command;
    for (const stream of ["stdout", "stderr"] as const) {
      child[stream]?.setEncoding("utf8").on("data", (text: string) => {
        this.#output += text;
        if (stream === "stdout") this.#stdout += text;
        this.#notify();
      });
    }
    this.#exited = this.#watchEnd();
    this.#forget = killAtExit(() => this.#killGroup());
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.#command}: did not start`);
    return this.#child.pid;
  }

  get output(): string {
    return this.#output;
  }

  get stdout(): string {
    return this.#stdout;
  }

  waitFor(
    pattern: RegExp | string,
    timeoutMs: number = DEFAULT_TIMEOUT_MS,
  ): Promise<RegExpExecArray> {
    const expression = typeof pattern === "string" ? literal(pattern) : pattern;
    const look = (): RegExpExecArray | undefined => {
      // A global expression would go on where it stopped the last time.
      expression.lastIndex = 0;
      return expression.exec(this.#output) ?? undefined;
    };
    return this.#until(look, `${expression}`, timeoutMs);
  }

  exit(timeoutMs: number = DEFAULT_TIMEOUT_MS): Promise<Exit> {
    return this.#until(() => this.#end, "its end", timeoutMs);
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    if (this.#end !== undefined) return;
    this.#child.kill(signal);
    if (signal === "SIGSTOP" || signal === "SIGCONT") return;
    await this.exit();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#killGroup();
    await this.#exited;
    this.#forget();
  }

  async #watchEnd(): Promise<void> {
    const closed = once(this.#child, "close").catch(() => {});
    let end: Exit = { code: null, signal: null };
    try {
      const [code, signal] = (await once(this.#child, "exit")) as [Exit["code"], Exit["signal"]];
      end = { code, signal };
      // All output has arrived at "close"; but children that live on may hold the pipes open.
      await Promise.race([closed, sleep(DRAIN_TIMEOUT_MS, undefined, { ref: false })]);
    } catch (error) {
      this.#output += String(error);
    }
    this.#end = end;
    this.#notify();
  }

  /** The whole group, even where the process itself is gone: a killed daemon leaves its nodes behind. */
  #killGroup(): void {
    if (this.#child.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }

  #until<T>(look: () => T | undefined, what: string, timeoutMs: number): Promise<T> {
    // Made here, so that its stack shows the caller.
    const failure = new Error();
    return new Promise((resolve, reject) => {
      const settle = (finish: () => void): void => {
        clearTimeout(timer);
        this.#watchers.delete(check);
        finish();
      };
      const fail = (reason: string): void => {
        failure.message = `${this.#command}: ${reason}; output so far:\n${this.#output}`;
        settle(() => reject(failure));
      };
      const check = (): void => {
        const found = look();
        if (found !== undefined) settle(() => resolve(found));
        else if (this.#end !== undefined)
          fail(`ended with ${describe(this.#end)}, without ${what}`);
      };
      const timer = setTimeout(() => fail(`waited ${timeoutMs} ms for ${what}`), timeoutMs);
      this.#watchers.add(check);
      check();
    });
  }

  #notify(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }
}

function literal(text: string): RegExp {
  return new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
}

function describe({ code, signal }: Exit): string {
  return code === null ? `signal ${signal}` : `exit code ${code}`;
}
