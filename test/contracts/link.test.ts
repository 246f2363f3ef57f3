import {
  isPsgdError,
  seededRandom,
  SILENT,
  type Clock,
  type PsgdError,
  type Random,
  type Transport,
  type TransportStatus,
} from "@psgd/core";
import { VirtualClock } from "@psgd/harness";
import { faulty, LinkEndpoint, MemoryNetwork, type Faults, type Link } from "@psgd/transport";
import { pack } from "@psgd/wire";
import { describe, expect, it } from "vitest";

/** Small enough that messages of a few hundred bytes travel in several pieces. */
const FRAME_BYTES = 256;

/** The same transport with a lower limit. */
function narrow(transport: Transport): Transport {
  return {
    maxFrameBytes: FRAME_BYTES,
    get status() {
      return transport.status;
    },
    listen: (address, onFrame) => transport.listen(address, onFrame),
    send: (address, frame) => transport.send(address, frame),
    flush: () => transport.flush(),
    onStatus: (callback) => transport.onStatus(callback),
    close: () => transport.close(),
  };
}

/** A transport whose connection can be cut: nothing passes, and it says so. */
function cuttable(transport: Transport): Transport & { cut(): void; mend(): void } {
  let status: TransportStatus = "connected";
  const callbacks = new Set<(status: TransportStatus) => void>();
  const become = (next: TransportStatus): void => {
    status = next;
    for (const callback of callbacks) callback(next);
  };
  return {
    ...narrow(transport),
    get status() {
      return status;
    },
    listen: (address, onFrame) =>
      transport.listen(address, (frame) => {
        if (status === "connected") onFrame(frame);
      }),
    send: (address, frame) => {
      if (status === "connected") transport.send(address, frame);
    },
    onStatus: (callback) => {
      callbacks.add(callback);
      return () => callbacks.delete(callback);
    },
    cut: () => become("disconnected"),
    mend: () => become("connected"),
  };
}

interface Party {
  readonly endpoint: LinkEndpoint;
  readonly transport: Transport;
  /** Links that peers opened. */
  readonly accepted: Link[];
}

/** What one side of a link hears. */
interface Ear {
  readonly messages: unknown[];
  readonly payloadBytes: number[];
  readonly ends: (PsgdError | "closed")[];
}

function hear(link: Link): Ear {
  const ear: Ear = { messages: [], payloadBytes: [], ends: [] };
  link.onMessage((value, payloadBytes) => {
    ear.messages.push(value);
    ear.payloadBytes.push(payloadBytes);
  });
  link.onLost((error) => ear.ends.push(error));
  link.onClosed(() => ear.ends.push("closed"));
  return ear;
}

async function party(
  address: string,
  transport: Transport,
  world: { clock: Clock; random: Random; deadAfterMs?: number },
): Promise<Party> {
  const accepted: Link[] = [];
  const endpoint = await LinkEndpoint.open({
    ...world,
    transport,
    address,
    random: world.random.fork(address),
    log: SILENT,
    onLink: (link) => accepted.push(link),
  });
  return { endpoint, transport, accepted };
}

/** Two endpoints on one network under virtual time. */
async function pair(
  options: { faults?: Partial<Faults>; seed?: number; deadAfterMs?: number } = {},
) {
  const { faults = {}, seed = 0, deadAfterMs } = options;
  const clock = new VirtualClock();
  const network = new MemoryNetwork();
  const random = seededRandom(seed);
  const world = { clock, random, ...(deadAfterMs === undefined ? {} : { deadAfterMs }) };
  const broken = (label: string): Transport & { counts: Record<string, number> } => {
    const transport = faulty(narrow(network.connect()), {
      clock,
      random: random.fork(label),
      ...faults,
    });
    return transport as Transport & { counts: Record<string, number> } & typeof transport;
  };
  const transports = [broken("a's network"), broken("b's network")] as const;
  const a = await party("a", transports[0], world);
  const b = await party("b", transports[1], world);
  return { clock, network, random, world, a, b, transports };
}

/** Messages of zero to several pieces, each told from all others. */
function messagesOf(random: Random, count: number): unknown[] {
  return Array.from({ length: count }, (_, index) => ({
    index,
    body: `${"x".repeat(random.uint32() % 600)}${random.uint32()}`,
  }));
}

function totalBytes(messages: readonly unknown[]): number {
  return messages.reduce<number>((sum, message) => sum + pack(message).length, 0);
}

describe("a link over a network that loses, repeats, reorders and damages frames", () => {
  const SHARDS = 8;
  const RUNS = 250;

  it.each(Array.from({ length: SHARDS }, (_, shard) => shard))(
    "delivers every message exactly once and in order, both ways (shard %i)",
    async (shard) => {
      const counts: Record<string, number> = {};
      for (let seed = shard * RUNS; seed < (shard + 1) * RUNS; seed++) {
        const dice = seededRandom(`rates ${seed}`);
        const faults = {
          dropRate: 0.3 * dice.float(),
          duplicateRate: 0.5 * dice.float(),
          reorderRate: 0.5 * dice.float(),
          reorderMs: 300 * dice.float(),
          corruptRate: 0.1 * dice.float(),
          delayMs: 20 * dice.float(),
        };
        const { clock, network, random, a, b, transports } = await pair({
          ...{ faults, seed },
          // No silence at these rates may count as death: that is another test.
          deadAfterMs: 600_000,
        });
        const toB = messagesOf(random, random.uint32() % 12);
        const toA = messagesOf(random, random.uint32() % 12);
        const linkA = a.endpoint.connect("b");
        // Half of the time both call each other at once.
        const linkB = dice.float() < 0.5 ? b.endpoint.connect("a") : undefined;
        const earA = hear(linkA);
        const early = linkB === undefined ? undefined : hear(linkB);
        for (const message of toB) linkA.send(message);
        while (linkB === undefined && b.accepted.length === 0) await clock.advance(100);
        const earB = early ?? hear(b.accepted[0]!);
        const otherEnd = linkB ?? b.accepted[0]!;
        for (const message of toA) otherEnd.send(message);
        await clock.run(Promise.all([linkA.flush(), otherEnd.flush()]));

        expect(earB.messages, `seed ${seed}`).toEqual(toB);
        expect(earA.messages, `seed ${seed}`).toEqual(toA);
        expect([linkA.bytesSent, otherEnd.bytesReceived], `seed ${seed}`).toEqual(
          Array(2).fill(totalBytes(toB)),
        );
        expect([otherEnd.bytesSent, linkA.bytesReceived], `seed ${seed}`).toEqual(
          Array(2).fill(totalBytes(toA)),
        );
        expect(earB.payloadBytes, `seed ${seed}`).toEqual(
          toB.map((message) => pack(message).length),
        );
        expect([...earA.ends, ...earB.ends], `seed ${seed}`).toEqual([]);

        await clock.run(Promise.all([a.endpoint.close(), b.endpoint.close()]));
        await Promise.all([a.transport.close(), b.transport.close()]);
        expect(a.accepted.length + b.accepted.length, `seed ${seed}`).toBeLessThanOrEqual(1);
        expect([linkA.queuedBytes, otherEnd.queuedBytes], `seed ${seed}`).toEqual([0, 0]);
        expect(clock.pendingTimerCount, `seed ${seed}`).toBe(0);
        expect([network.listenerCount("a"), network.listenerCount("b")]).toEqual([0, 0]);
        for (const transport of transports) {
          for (const [fate, count] of Object.entries(transport.counts)) {
            counts[fate] = (counts[fate] ?? 0) + count;
          }
        }
      }
      // A network that does nothing wrong would prove nothing.
      for (const fate of ["dropped", "duplicated", "reordered", "corrupted"]) {
        expect(counts[fate], fate).toBeGreaterThan(RUNS);
      }
    },
  );

  it("delivers everything when both sides close at once with messages on the way", async () => {
    for (let seed = 0; seed < 300; seed++) {
      const faults = { dropRate: 0.2, duplicateRate: 0.2, reorderRate: 0.3 };
      const { clock, random, a, b } = await pair({ faults, seed });
      const linkA = a.endpoint.connect("b");
      const linkB = b.endpoint.connect("a");
      const [earA, earB] = [hear(linkA), hear(linkB)];
      const toB = messagesOf(random, 6);
      const toA = messagesOf(random, 6);
      for (const message of toB) linkA.send(message);
      for (const message of toA) linkB.send(message);
      await clock.run(Promise.all([a.endpoint.close(), b.endpoint.close()]));
      expect([...earA.ends, ...earB.ends], `seed ${seed}`).toEqual(["closed", "closed"]);
      expect(earB.messages, `seed ${seed}`).toEqual(toB);
      expect(earA.messages, `seed ${seed}`).toEqual(toA);
    }
  });
});

describe("a link", () => {
  it("carries values with typed arrays that own aligned memory", async () => {
    const { clock, a, b } = await pair();
    const link = a.endpoint.connect("b");
    const values = [
      { tensor: Float64Array.of(1, 2) },
      new Float32Array(1000).fill(3),
      new Map([[1, -0]]),
    ];
    for (const value of values) link.send(value);
    (values[1] as Float32Array).fill(0);
    await clock.run(link.flush());
    const ear = hear(b.accepted[0]!);
    expect(ear.messages).toStrictEqual([values[0], new Float32Array(1000).fill(3), values[2]]);
    expect((ear.messages[0] as { tensor: Float64Array }).tensor.byteOffset % 8).toBe(0);
  });

  it("is the same link for two calls to one peer", async () => {
    const { a } = await pair();
    expect(a.endpoint.connect("b")).toBe(a.endpoint.connect("b"));
  });

  it("refuses a value that cannot be packed and goes on", async () => {
    const { clock, a, b } = await pair();
    const link = a.endpoint.connect("b");
    link.send(1);
    expect(() => link.send({ content: () => 1 })).toThrow(/^PAYLOAD_UNPACKABLE: `content`/);
    link.send(2);
    await clock.run(link.flush());
    expect(hear(b.accepted[0]!).messages).toEqual([1, 2]);
    expect(link.bytesSent).toBe(totalBytes([1, 2]));
  });

  it.each(["a", "", "b.*"])("cannot lead to the address %j", async (address) => {
    const { a } = await pair();
    expect(() => a.endpoint.connect(address)).toThrow(/^SETTINGS_INVALID/);
  });

  it("goes on when a handler throws", async () => {
    const { clock, a, b } = await pair();
    const link = a.endpoint.connect("b");
    link.send(1);
    await clock.run(link.flush());
    const seen: unknown[] = [];
    b.accepted[0]!.onMessage((value) => {
      seen.push(value);
      throw new Error("a bug of a handler");
    });
    link.send(2);
    await clock.run(link.flush());
    expect(seen).toEqual([1, 2]);
  });

  it("tells how much waits, and when it is less", async () => {
    const { clock, a, b } = await pair();
    const link = a.endpoint.connect("b");
    await clock.advance(10);
    const messages = messagesOf(seededRandom(1), 2000);
    for (const message of messages) link.send(message);
    expect(link.queuedBytes).toBe(totalBytes(messages));
    await clock.run(link.drained(1000));
    expect(link.queuedBytes).toBeLessThanOrEqual(1000);
    await clock.run(link.drained());
    expect(link.queuedBytes).toBe(0);
    expect(hear(b.accepted[0]!).messages).toEqual(messages);
  });

  it("is closed, not lost, when the peer closes; what was sent before arrives", async () => {
    const { clock, a, b } = await pair();
    const link = a.endpoint.connect("b");
    link.send("last words");
    await clock.run(link.close());
    const ear = hear(b.accepted[0]!);
    expect(ear).toMatchObject({ messages: ["last words"], ends: ["closed"] });
    expect(b.accepted[0]!.isClosed).toBe(true);
    b.accepted[0]!.send("nobody hears this");
    await clock.run(Promise.all([link.close(), link.flush(), link.drained()]));
    await clock.advance(10_000);
    expect(clock.pendingTimerCount).toBe(0);
  });

  it("is a new link after it was closed, and hears nothing of the old one", async () => {
    const { clock, a, b, network } = await pair();
    const replayed: Uint8Array[] = [];
    const witness = network.connect();
    await witness.listen("b", (frame) => replayed.push(frame));
    for (const text of ["first", "second"]) {
      const link = a.endpoint.connect("b");
      link.send(text);
      await clock.run(link.flush());
      const ear = hear(b.accepted.at(-1)!);
      // Everything that was ever sent comes again, that of the old link included.
      for (const frame of [...replayed]) witness.send("b", frame);
      await clock.advance(3000);
      expect(ear).toMatchObject({ messages: [text], ends: [] });
      await clock.run(link.close());
      expect(ear.ends).toEqual(["closed"]);
    }
    for (const frame of [...replayed]) witness.send("b", frame);
    await clock.advance(3000);
    expect(b.accepted).toHaveLength(2);
  });

  it("is lost after four seconds of silence, and not before", async () => {
    let isCut = false;
    const { clock, a, b } = await pair({ faults: { dropWhen: () => isCut } });
    const link = a.endpoint.connect("b");
    link.send(1);
    await clock.run(link.flush());
    const ears = [hear(link), hear(b.accepted[0]!)];
    await clock.advance(60_000);
    expect(ears.flatMap((ear) => ear.ends)).toEqual([]);
    isCut = true;
    await clock.advance(3400);
    expect(ears.flatMap((ear) => ear.ends)).toEqual([]);
    await clock.advance(1200);
    for (const ear of ears)
      expect(ear.ends.map((end) => isPsgdError(end, "NODE_LOST"))).toEqual([true]);
    expect(clock.pendingTimerCount).toBe(0);
    expect(link.queuedBytes).toBe(0);
  });

  it("is lost when nobody ever answers, and gives waiting senders back", async () => {
    const { clock, a } = await pair();
    const link = a.endpoint.connect("nobody");
    const ear = hear(link);
    link.send(1);
    await clock.run(link.flush());
    expect(ear.ends.map((end) => isPsgdError(end, "NODE_LOST"))).toEqual([true]);
    expect(clock.now()).toBeGreaterThanOrEqual(4000);
    await clock.run(link.close());
  });

  it("waits for a peer that comes up a little later", async () => {
    const { clock, network, world, a } = await pair();
    const link = a.endpoint.connect("late");
    link.send("hello");
    await clock.advance(3000);
    const late = await party("late", narrow(network.connect()), world);
    await clock.run(link.flush());
    expect(hear(late.accepted[0]!).messages).toEqual(["hello"]);
  });

  it("is lost on one side soon after the other side has given it up", async () => {
    let isDeaf = false;
    const { clock, a, b } = await pair({
      faults: { dropWhen: (address) => isDeaf && address === "a" },
    });
    const link = a.endpoint.connect("b");
    link.send(1);
    await clock.run(link.flush());
    const earB = hear(b.accepted[0]!);
    isDeaf = true;
    // a hears nothing and gives up; b hears a all the time, until a says that it has no such link.
    await clock.advance(5000);
    expect(link.isClosed).toBe(true);
    isDeaf = false;
    await clock.advance(1100);
    expect(earB.ends.map((end) => isPsgdError(end, "NODE_LOST"))).toEqual([true]);
  });

  it.each(["speaks", "is spoken to"])(
    "is lost at once when the peer's process was restarted and %s",
    async (way) => {
      const { clock, network, world, a, b } = await pair();
      const link = a.endpoint.connect("b");
      link.send("to the first");
      await clock.run(link.flush());
      const ear = hear(link);
      // A crash: the process is gone without a word.
      await b.transport.close();
      const reborn = await party("b", narrow(network.connect()), {
        ...world,
        random: seededRandom("reborn"),
      });
      if (way === "speaks") reborn.endpoint.connect("a").send("from the second");
      else link.send("to the first, who is gone");
      await clock.advance(10);
      expect(ear.ends.map((end) => isPsgdError(end, "NODE_LOST"))).toEqual([true]);
      // Both find each other again, and nothing of the old link arrives.
      const again = a.endpoint.connect("b");
      const earAgain = hear(again);
      again.send("to the second");
      await clock.run(again.flush());
      const other = reborn.accepted[0] ?? reborn.endpoint.connect("a");
      expect(hear(other).messages).toEqual(["to the second"]);
      expect(earAgain.messages).toEqual(way === "speaks" ? ["from the second"] : []);
    },
  );

  it("survives any time without a connection, and delivers what was sent meanwhile", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork();
    const world = { clock, random: seededRandom(3) };
    const cables = [cuttable(network.connect()), cuttable(network.connect())] as const;
    const a = await party("a", cables[0], world);
    const b = await party("b", cables[1], world);
    const link = a.endpoint.connect("b");
    const sent: number[] = [];
    const say = (count: number): void => {
      for (let number = 0; number < count; number++) {
        link.send(sent.length);
        sent.push(sent.length);
      }
    };
    say(5);
    await clock.run(link.flush());
    const ear = hear(b.accepted[0]!);
    for (let outage = 0; outage < 5; outage++) {
      // Half on their way when it happens, half while it lasts; a comes back before or after b does.
      say(10);
      for (const cable of cables) cable.cut();
      await clock.advance(outage * 20_000);
      say(10);
      cables[outage % 2]!.mend();
      await clock.advance(700);
      cables[(outage + 1) % 2]!.mend();
      const mendedAt = clock.now();
      await clock.run(link.flush());
      expect(clock.now() - mendedAt).toBeLessThan(1000);
    }
    expect(ear).toMatchObject({ messages: sent, ends: [] });
    // When only one side is without connection, the other one hears silence.
    cables[0].cut();
    await clock.advance(5000);
    expect(ear.ends).toHaveLength(1);
  });

  it("is lost when its own transport closes", async () => {
    const { clock, a } = await pair();
    const link = a.endpoint.connect("b");
    link.send(1);
    const ear = hear(link);
    const flushed = link.flush();
    await a.transport.close();
    await clock.run(flushed);
    expect(ear.ends.map((end) => isPsgdError(end, "TRANSPORT_CLOSED"))).toEqual([true]);
    expect(() => a.endpoint.connect("b")).toThrow(/^TRANSPORT_CLOSED/);
  });

  it("does not close before a long queue has left over a slow network, however long that takes", async () => {
    // One frame every 100 ms, in order.
    const clock = new VirtualClock();
    const network = new MemoryNetwork();
    const world = { clock, random: seededRandom(4) };
    const inner = narrow(network.connect());
    let freeAt = 0;
    const slow: Transport = {
      ...inner,
      status: "connected",
      send: (address, frame) => {
        const copy = frame.slice();
        freeAt = Math.max(freeAt, clock.now()) + 100;
        clock.setTimer(freeAt - clock.now(), () => inner.send(address, copy));
      },
    };
    const a = await party("a", slow, world);
    const b = await party("b", narrow(network.connect()), world);
    const link = a.endpoint.connect("b");
    const messages = messagesOf(seededRandom(5), 100);
    for (const message of messages) link.send(message);
    await clock.run(a.endpoint.close());
    expect(clock.now()).toBeGreaterThan(10_000);
    await clock.advance(5000);
    expect(hear(b.accepted[0]!)).toMatchObject({ messages, ends: ["closed"] });
  });

  it("is unmoved by noise at its address", async () => {
    const { clock, network, a, b } = await pair();
    const link = a.endpoint.connect("b");
    link.send(1);
    await clock.run(link.flush());
    const ear = hear(b.accepted[0]!);
    const random = seededRandom("noise");
    const stranger = network.connect();
    const recorded: Uint8Array[] = [];
    await stranger.listen("b", (frame) => recorded.push(frame));
    link.send(2);
    await clock.run(link.flush());
    for (let round = 0; round < 2000; round++) {
      const frame = Uint8Array.from({ length: random.uint32() % 300 }, () => random.uint32());
      if (round % 2 === 0 && frame.length > 3) frame.set(recorded[0]!.subarray(0, 3));
      stranger.send("b", frame);
    }
    link.send(3);
    await clock.run(link.flush());
    expect(b.endpoint.refusedFrameCount).toBe(2000);
    expect(ear).toMatchObject({ messages: [1, 2, 3], ends: [] });
    expect(b.accepted).toHaveLength(1);
  });
});
