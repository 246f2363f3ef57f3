import { createRequire } from "node:module";
import { MessageChannel, Worker } from "node:worker_threads";
import { pathToFileURL } from "node:url";
import { isPsgdError, seededRandom } from "@psgd/core";
import { describeDirectory, describeTransport } from "@psgd/harness";
import { connectNats, faulty, MemoryNetwork, memoryTransportOverPort } from "@psgd/transport";
import { describe, expect, it } from "vitest";
import { natsServerPath, startNatsServer } from "./nats-server.js";
import { SYSTEM_CLOCK } from "./system-clock.js";

const nothing = async (): Promise<void> => {};

/** A thread that holds a memory network, or is one's client: `body` sees `port`, `transport` (the package). */
function startThread(body: string): Worker {
  const entry = pathToFileURL(createRequire(import.meta.url).resolve("@psgd/transport")).href;
  return new Worker(
    `const { parentPort } = require("node:worker_threads");
     import(${JSON.stringify(entry)}).then((transport) => {
       const network = new transport.MemoryNetwork();
       parentPort.on("message", (port) => { ${body} });
     });`,
    { eval: true },
  );
}

describeTransport("memory", async () => {
  const network = new MemoryNetwork();
  return { connect: async () => network.connect(), dispose: nothing };
});

describeTransport("memory over ports to another thread", async () => {
  const thread = startThread("network.attach(port);");
  return {
    connect: async () => {
      const { port1, port2 } = new MessageChannel();
      thread.postMessage(port2, [port2]);
      return memoryTransportOverPort(port1);
    },
    dispose: async () => {
      await thread.terminate();
    },
  };
});

describeTransport("faulty with all rates at zero", async () => {
  const network = new MemoryNetwork();
  const faults = { random: seededRandom(1), clock: SYSTEM_CLOCK };
  return { connect: async () => faulty(network.connect(), faults), dispose: nothing };
});

describeDirectory("memory", async () => {
  const directory = new MemoryNetwork().directory(SYSTEM_CLOCK);
  return { worker: directory, visitor: directory, dispose: nothing };
});

describe("memory over ports", () => {
  it("forgets the listeners of a thread that dies", async () => {
    const network = new MemoryNetwork();
    const thread = startThread(`
      const here = transport.memoryTransportOverPort(port);
      here.listen("shared", () => {}).then(() => here.send("ready", new Uint8Array(1)));`);
    const { port1, port2 } = new MessageChannel();
    network.attach(port1);
    const transport = network.connect();
    const ready = new Promise<void>((resolve) => void transport.listen("ready", () => resolve()));
    thread.postMessage(port2, [port2]);
    await ready;
    expect(network.listenerCount("shared")).toBe(1);
    const closed = new Promise((resolve) => port1.once("close", resolve));
    await thread.terminate();
    await closed;
    expect(network.listenerCount("shared")).toBe(0);
  });

  it("lets a thread end once its transport is closed", async () => {
    const network = new MemoryNetwork();
    const thread = startThread(`
      const here = transport.memoryTransportOverPort(port);
      here.listen("a", () => {}).then(() => here.close()).then(() => parentPort.unref());`);
    const { port1, port2 } = new MessageChannel();
    network.attach(port1);
    const exit = new Promise((resolve) => thread.once("exit", resolve));
    thread.postMessage(port2, [port2]);
    expect(await exit).toBe(0);
  });

  it("is closed when the other side of the port is", async () => {
    const { port1, port2 } = new MessageChannel();
    const transport = memoryTransportOverPort(port1);
    const closed = new Promise((resolve) => transport.onStatus(resolve));
    const listening = transport.listen("a", () => {});
    port2.close();
    expect(await closed).toBe("closed");
    await expect(listening).rejects.toThrow(/^TRANSPORT_CLOSED/);
  });
});

const program = await natsServerPath();
if (program === undefined && process.env["REQUIRE_NATS"] === "1") {
  throw new Error("REQUIRE_NATS is set and there is no nats-server; set NATS_SERVER_BIN");
}

describe.skipIf(program === undefined)("with a nats-server", () => {
  describeTransport("nats", async () => {
    const server = await startNatsServer(program!);
    return {
      connect: async () => (await connectNats({ servers: server.url, name: "test" })).transport,
      dispose: () => server.kill(),
    };
  });

  describeDirectory("nats", async () => {
    const server = await startNatsServer(program!);
    const worker = await connectNats({ servers: server.url, name: "worker" });
    const visitor = await connectNats({ servers: server.url, name: "visitor" });
    return {
      worker: worker.directory,
      visitor: visitor.directory,
      dispose: async () => {
        await worker.transport.close();
        await visitor.transport.close();
        await server.kill();
      },
    };
  });

  it("tells when the server goes and comes back, and delivers again", async () => {
    await using server = await startNatsServer(program!);
    const { transport, directory } = await connectNats({ servers: server.url, name: "test" });
    const next = (): Promise<string> =>
      new Promise((resolve) => {
        const stop = transport.onStatus((status) => {
          stop();
          resolve(status);
        });
      });
    const received = new Promise((resolve) => void transport.listen("here", resolve));
    await transport.flush();
    const lost = next();
    await server.kill();
    expect(await lost).toBe("disconnected");
    transport.send("here", Uint8Array.of(1));
    await transport.flush();
    await expect(directory.list({ timeoutMs: 10 })).rejects.toThrow(/^CLUSTER_UNREACHABLE/);
    const back = next();
    await server.start();
    expect(await back).toBe("connected");
    transport.send("here", Uint8Array.of(2));
    // What was sent in between is lost, not late.
    expect(await received).toEqual(Uint8Array.of(2));
    await transport.close();
  });

  it("says what to do when nothing answers", async () => {
    const refused: unknown = await connectNats({
      servers: "nats://127.0.0.1:9",
      name: "test",
      timeoutMs: 50,
    }).catch((error: unknown) => error);
    expect(isPsgdError(refused, "CLUSTER_UNREACHABLE")).toBe(true);
    expect((refused as Error).message).toMatch(
      /nothing answers at nats:\/\/127\.0\.0\.1:9; start it with `nats-server -p 9`/,
    );
  });
});
