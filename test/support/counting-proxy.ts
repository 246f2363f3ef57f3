import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { once } from "node:events";

/** A wire with a meter: passes TCP connections on to a server and counts every byte. Use with `await using`. */
export interface CountingProxy extends AsyncDisposable {
  readonly url: string;
  /** From clients to the server. */
  readonly sentBytes: number;
  /** From the server to clients. */
  readonly receivedBytes: number;
}

export async function startCountingProxy(serverPort: number): Promise<CountingProxy> {
  const sockets = new Set<Socket>();
  const counts = { sentBytes: 0, receivedBytes: 0 };
  const join = (from: Socket, to: Socket, count: (bytes: number) => void): void => {
    sockets.add(from);
    from.on("data", (chunk) => count(chunk.length));
    from.pipe(to);
    from.on("error", () => to.destroy());
    from.on("close", () => {
      sockets.delete(from);
      to.destroy();
    });
  };
  const proxy = createServer((client) => {
    const server = connect(serverPort, "127.0.0.1");
    join(client, server, (bytes) => (counts.sentBytes += bytes));
    join(server, client, (bytes) => (counts.receivedBytes += bytes));
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const { port } = proxy.address() as AddressInfo;
  return {
    url: `nats://127.0.0.1:${port}`,
    get sentBytes() {
      return counts.sentBytes;
    },
    get receivedBytes() {
      return counts.receivedBytes;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      proxy.close();
      await once(proxy, "close");
    },
  };
}
