import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { connectNats } from "@psgd/transport";

/** A nats-server of the test's own. */
export interface TestNatsServer extends AsyncDisposable {
  readonly url: string;
  /** SIGKILL: nothing is said to the clients. */
  kill(): Promise<void>;
  /** Starts it again on the same port. */
  start(): Promise<void>;
}

const FETCHER = fileURLToPath(new URL("../../packages/tooling/nats-server.js", import.meta.url));

/** The program, or undefined where there is none. */
export async function natsServerPath(): Promise<string | undefined> {
  const { NATS_SERVER_BIN } = process.env;
  if (NATS_SERVER_BIN !== undefined) return NATS_SERVER_BIN;
  if (!existsSync(FETCHER)) return undefined;
  const fetcher = (await import(FETCHER)) as { natsServerPath(): Promise<string> };
  return fetcher.natsServerPath();
}

/** Starts a server that answers when this returns. */
export async function startNatsServer(program: string): Promise<TestNatsServer> {
  const port = await freePort();
  const url = `nats://127.0.0.1:${port}`;
  let child: ChildProcess | undefined;

  const start = async (): Promise<void> => {
    child = spawn(program, ["-a", "127.0.0.1", "-p", String(port)], { stdio: "ignore" });
    const { transport } = await connectNats({ servers: url, name: "probe", timeoutMs: 20_000 });
    await transport.close();
  };
  const kill = async (): Promise<void> => {
    const running = child;
    child = undefined;
    if (running === undefined) return;
    running.kill("SIGKILL");
    await once(running, "exit");
  };
  await start();
  return { url, start, kill, [Symbol.asyncDispose]: kill };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (typeof address !== "object" || address === null) throw new Error("bug: no port");
  return address.port;
}
