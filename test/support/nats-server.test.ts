import { existsSync } from "node:fs";
import { once } from "node:events";
import { createConnection } from "node:net";
import { expect, test } from "vitest";
import { startNatsServer } from "./nats-server.js";

/** What the server answers to a PING. */
async function ping(port: number): Promise<string> {
  const socket = createConnection(port, "127.0.0.1");
  try {
    let answer = "";
    socket.on("data", (chunk) => (answer += chunk.toString()));
    socket.write('CONNECT {"verbose":false}\r\nPING\r\n');
    while (!answer.includes("PONG")) await once(socket, "data");
    return answer;
  } finally {
    socket.destroy();
  }
}

test("a server speaks NATS, is gone after a kill, and comes back on the same port", async () => {
  await using server = await startNatsServer();
  const { port, pid, url } = server;
  expect(url).toBe(`nats://127.0.0.1:${port}`);
  expect(await ping(port)).toMatch(/^INFO \{/);
  await server.kill();
  await expect(ping(port)).rejects.toThrow("ECONNREFUSED");
  await server.restart();
  expect(server.port).toBe(port);
  expect(server.pid).not.toBe(pid);
  expect(await ping(port)).toContain("PONG");
});

test("nothing is left of a server after its scope", async () => {
  let pid: number;
  let storage: string;
  {
    await using server = await startNatsServer({ jetstream: true });
    pid = server.pid;
    storage = /Store Directory: "([^"]+)"/.exec(server.log)![1]!;
    expect(existsSync(storage)).toBe(true);
  }
  expect(() => process.kill(pid, 0)).toThrow("ESRCH");
  expect(existsSync(storage)).toBe(false);
});

test("a server that cannot start says why", async () => {
  const starting = startNatsServer({ args: ["--config", "/nonexistent.conf"] });
  await expect(starting).rejects.toThrow(/did not start: it exited with 1[^]*nonexistent\.conf/);
});
