import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createConnection, createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { killAtExit } from "./kill-at-exit.js";
import { PROJECT_ROOT } from "./project-root.js";

const START_TIMEOUT_MS = 20_000;
const POLL_MS = 20;

/** A real nats-server of this test alone. Use with `await using`: the process and its files go with the scope. */
export interface NatsServer extends AsyncDisposable {
  readonly url: string;
  /** Stays the same over restarts. */
  readonly port: number;
  readonly pid: number;
  /** What the running server has logged. */
  readonly log: string;
  /** Ends the process, abruptly by default, and waits until it is gone; SIGSTOP and SIGCONT pause and resume it. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Kills it if it runs, stays down for so long, and starts it on the same port with the same files. */
  restart(downMs?: number): Promise<void>;
}

export interface NatsServerOptions {
  /** Keep streams in a folder of the server's own. */
  readonly jetstream?: boolean;
  /** Further command line arguments, for example `["--config", path]`. */
  readonly args?: readonly string[];
}

/**
 * Starts nats-server on a free port of the loopback interface; resolves when it answers.
 * @throws {Error} if there is no nats-server and none can be fetched: a test on NATS is never skipped
 */
export async function startNatsServer(options: NatsServerOptions = {}): Promise<NatsServer> {
  const binary = await findBinary();
  const folder = await mkdtemp(join(tmpdir(), "psgd-nats-"));
  try {
    const server = new RunningServer(binary, folder, options, await freePort());
    await server.start();
    return server;
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

class RunningServer implements NatsServer {
  readonly port: number;
  readonly #binary: string;
  readonly #folder: string;
  readonly #args: readonly string[];
  #process: ChildProcess | undefined;
  #log = "";

  constructor(binary: string, folder: string, options: NatsServerOptions, port: number) {
    this.port = port;
    this.#binary = binary;
    this.#folder = folder;
    this.#args = [
      ...["--addr", "127.0.0.1", "--port", String(port)],
      ...(options.jetstream === true ? ["--jetstream", "--store_dir", folder] : []),
      ...(options.args ?? []),
    ];
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  get pid(): number {
    const pid = this.#process?.pid;
    if (pid === undefined) throw new Error("nats-server was not started");
    return pid;
  }

  get log(): string {
    return this.#log;
  }

  async start(): Promise<void> {
    this.#log = "";
    const process = spawn(this.#binary, this.#args, { stdio: ["ignore", "pipe", "pipe"] });
    this.#process = process;
    process.once(
      "exit",
      killAtExit(() => process.kill("SIGKILL")),
    );
    for (const stream of [process.stdout, process.stderr]) {
      stream.on("data", (chunk: Buffer) => (this.#log += chunk.toString()));
    }
    let fault: string | undefined;
    process.on("error", (error) => (fault = error.message));
    process.on("exit", (code, signal) => (fault = `it exited with ${code ?? signal}`));
    const attempts = Math.ceil(START_TIMEOUT_MS / POLL_MS);
    for (let attempt = 0; attempt < attempts; attempt++) {
      if (fault !== undefined) break;
      if (await answers(this.port)) return;
      await sleep(POLL_MS);
    }
    await this.kill();
    throw new Error(`nats-server did not start: ${fault ?? "it does not answer"}\n${this.#log}`);
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const process = this.#process;
    if (process?.pid === undefined) return;
    if (process.exitCode !== null || process.signalCode !== null) return;
    const exited = once(process, "exit");
    process.kill(signal);
    if (signal === "SIGSTOP" || signal === "SIGCONT") return;
    await exited;
  }

  async restart(downMs = 0): Promise<void> {
    await this.kill();
    await sleep(downMs);
    await this.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function findBinary(): Promise<string> {
  const module = pathToFileURL(join(PROJECT_ROOT, "packages/tooling/nats-server.js"));
  const { natsServerPath } = (await import(module.href)) as {
    natsServerPath: () => Promise<string>;
  };
  return natsServerPath();
}

/** Picked by us and not by the server, so that it can have the same one after a restart. */
async function freePort(): Promise<number> {
  const probe = createServer();
  probe.listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return port;
}

/** Whether a NATS server greets on this port. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(port, "127.0.0.1");
    const settle = (value: boolean): void => {
      socket.destroy();
      resolve(value);
    };
    socket.once("data", (greeting) => settle(greeting.toString().startsWith("INFO ")));
    socket.once("error", () => settle(false));
    socket.once("close", () => settle(false));
  });
}
