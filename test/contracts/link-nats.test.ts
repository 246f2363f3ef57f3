import { isPsgdError, seededRandom, SILENT } from "@psgd/core";
import { systemClock } from "@psgd/runtime";
import { connectNats, LinkEndpoint, type Link } from "@psgd/transport";
import { describe, expect, it } from "vitest";
import { startNatsServer } from "../support/nats-server.js";

/** An endpoint with a connection of its own. */
async function connectParty(
  servers: string,
  address: string,
  onLink: (link: Link) => void = () => {},
) {
  const { transport } = await connectNats({ servers, name: address });
  const endpoint = await LinkEndpoint.open({
    transport,
    clock: systemClock,
    random: seededRandom(address),
    address,
    log: SILENT,
    onLink,
  });
  const close = async (): Promise<void> => {
    await endpoint.close();
    await transport.close();
  };
  return { endpoint, close };
}

describe("a link over a real nats-server", () => {
  it("delivers every message once and in order although the server is killed and restarted", async () => {
    await using server = await startNatsServer();
    const received: number[] = [];
    const ends: string[] = [];
    const receiver = await connectParty(server.url, "receiver", (link) => {
      link.onMessage((value) => {
        const { index, tensor } = value as { index: number; tensor: Float32Array };
        if (tensor.every((element) => element === index)) received.push(index);
      });
      link.onLost((error) => ends.push(error.message));
    });
    const sender = await connectParty(server.url, "sender");
    const link = sender.endpoint.connect("receiver");
    link.onLost((error) => ends.push(error.message));

    const COUNT = 120;
    // 800 KB, so that a message is two frames; sent as fast as the link takes them, kills in between.
    for (let index = 0; index < COUNT; index++) {
      link.send({ index, tensor: new Float32Array(200_000).fill(index) });
      await link.drained(8_000_000);
      if (index === 40) void server.restart(2000);
      if (index === 80) void server.restart();
    }
    await link.flush();
    expect(received).toEqual(Array.from({ length: COUNT }, (_, index) => index));
    expect(ends).toEqual([]);
    expect(link.overheadBytes).toBeGreaterThan(0);
    await sender.close();
    await receiver.close();
  });

  it("is lost when the peer's process is gone although the server runs", async () => {
    await using server = await startNatsServer();
    const receiver = await connectNats({ servers: server.url, name: "receiver" });
    await LinkEndpoint.open({
      transport: receiver.transport,
      clock: systemClock,
      random: seededRandom(1),
      address: "receiver",
      log: SILENT,
      onLink: () => {},
    });
    const sender = await connectParty(server.url, "sender");
    const link = sender.endpoint.connect("receiver");
    link.send("hello");
    await link.flush();
    const lost = new Promise((resolve) => link.onLost(resolve));
    await receiver.transport.close();
    expect(isPsgdError(await lost, "NODE_LOST")).toBe(true);
    await sender.close();
  });
});
