import {
  isPsgdError,
  seededRandom,
  type Transport,
  type TransportStatus,
  type WorkerDirectory,
  type WorkerInfo,
} from "@psgd/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

/** One network, and ways to reach it. */
export interface TransportSetup {
  /** A new transport on the network, each time. */
  connect(): Promise<Transport>;
  dispose(): Promise<void>;
}

/** One network with a directory, seen by a worker and by somebody who looks around. */
export interface DirectorySetup {
  readonly worker: WorkerDirectory;
  readonly visitor: WorkerDirectory;
  dispose(): Promise<void>;
}

/**
 * What every transport does, as tests: order per sender, fan-out, ownership of bytes, limits, and silence after closing.
 * @param setup - makes the network; called once
 */
export function describeTransport(name: string, setup: () => Promise<TransportSetup>): void {
  describe(`transport ${name}`, () => {
    let network: TransportSetup;
    let nextAddress = 0;
    beforeAll(async () => {
      network = await setup();
    });
    afterAll(async () => {
      await network.dispose();
    });

    /** Two transports and an address nobody else uses. */
    const pair = async (): Promise<{ a: Transport; b: Transport; address: string }> => ({
      a: await network.connect(),
      b: await network.connect(),
      address: `contract.${nextAddress++}`,
    });
    const closeAll = async (...transports: Transport[]): Promise<void> => {
      await Promise.all(transports.map((transport) => transport.close()));
    };

    it("delivers the frames of a sender in order", async () => {
      const { a, b, address } = await pair();
      const inbox = await listen(b, address);
      for (let number = 0; number < 500; number++) a.send(address, bytesOf(number));
      expect((await inbox.take(500)).map(numberOf)).toEqual(range(500));
      await closeAll(a, b);
    });

    it("keeps the order of each sender when several send", async () => {
      const { a, b, address } = await pair();
      const inbox = await listen(b, address);
      const c = await network.connect();
      for (let number = 0; number < 200; number++) {
        a.send(address, bytesOf(number));
        c.send(address, bytesOf(1000 + number));
      }
      const numbers = (await inbox.take(400)).map(numberOf);
      expect(numbers.filter((number) => number < 1000)).toEqual(range(200));
      expect(numbers.filter((number) => number >= 1000)).toEqual(range(200).map((n) => n + 1000));
      await closeAll(a, b, c);
    });

    it("delivers what a transport sends to an address of its own", async () => {
      const { a, b, address } = await pair();
      const inbox = await listen(a, address);
      a.send(address, bytesOf(7));
      expect((await inbox.take(1)).map(numberOf)).toEqual([7]);
      await closeAll(a, b);
    });

    it("gives every listener of an address every frame, in memory of its own", async () => {
      const { a, b, address } = await pair();
      const inboxes = [
        await listen(a, address),
        await listen(b, address),
        await listen(b, address),
      ];
      a.send(address, bytesOf(1));
      a.send(address, bytesOf(2));
      for (const inbox of inboxes) {
        const frames = await inbox.take(2);
        expect(frames.map(numberOf)).toEqual([1, 2]);
        // Whoever shares this memory reads something else from now on.
        for (const frame of frames) frame.fill(255);
      }
      await closeAll(a, b);
    });

    it("has copied a frame when send returns", async () => {
      const { a, b, address } = await pair();
      const inbox = await listen(b, address);
      for (const size of [16, a.maxFrameBytes]) {
        const frame = new Uint8Array(size).fill(1);
        a.send(address, frame);
        frame.fill(2);
        const [received] = await inbox.take(1);
        expect(received!.every((byte) => byte === 1)).toBe(true);
      }
      await closeAll(a, b);
    });

    it("never calls a listener inside send", async () => {
      const { a, b, address } = await pair();
      let calls = 0;
      await a.listen(address, () => calls++);
      const inbox = await listen(a, address);
      a.send(address, bytesOf(1));
      expect(calls).toBe(0);
      await inbox.take(1);
      await closeAll(a, b);
    });

    it("delivers frames of any size from nothing to the limit, aligned to eight bytes", async () => {
      const { a, b, address } = await pair();
      const inbox = await listen(b, address);
      const random = seededRandom("frames");
      const sizes = [0, 1, 7, 8, 9, 4095, 65_537, 300_001, a.maxFrameBytes];
      const frames = sizes.map((size) => Uint8Array.from({ length: size }, () => random.uint32()));
      for (const frame of frames) a.send(address, frame);
      const received = await inbox.take(sizes.length);
      received.forEach((frame, index) => {
        expect(Buffer.compare(frame, frames[index]!)).toBe(0);
        expect(frame.byteOffset % 8).toBe(0);
      });
      await closeAll(a, b);
    });

    it("takes a frame from the middle of a buffer", async () => {
      const { a, b, address } = await pair();
      const inbox = await listen(b, address);
      a.send(address, Uint8Array.of(1, 2, 3, 4, 5).subarray(1, 4));
      expect([...(await inbox.take(1))[0]!]).toEqual([2, 3, 4]);
      await closeAll(a, b);
    });

    it("refuses a frame above the limit and goes on", async () => {
      const { a, b, address } = await pair();
      const inbox = await listen(b, address);
      expectCode(() => a.send(address, new Uint8Array(a.maxFrameBytes + 1)), "PAYLOAD_TOO_LARGE");
      a.send(address, bytesOf(3));
      expect((await inbox.take(1)).map(numberOf)).toEqual([3]);
      await closeAll(a, b);
    });

    it.each(["", ".", "a.", ".a", "a..b", "a b", "*", "a.>", "ä", "x".repeat(300), "a\r\nPUB b 0"])(
      "refuses the address %j",
      async (address) => {
        const { a, b } = await pair();
        expectCode(() => a.send(address, bytesOf(1)), "SETTINGS_INVALID");
        const refused: unknown = await a.listen(address, () => {}).catch((error: unknown) => error);
        expect(isPsgdError(refused, "SETTINGS_INVALID")).toBe(true);
        await closeAll(a, b);
      },
    );

    it("drops a frame that nobody listens for", async () => {
      const { a, b, address } = await pair();
      a.send(address, bytesOf(1));
      await a.flush();
      const inbox = await listen(b, address);
      a.send(address, bytesOf(2));
      expect((await inbox.take(1)).map(numberOf)).toEqual([2]);
      await closeAll(a, b);
    });

    it("survives a listener that throws", async () => {
      const { a, b, address } = await pair();
      const warnings = collectWarnings();
      await b.listen(address, () => {
        throw new Error("a bug of a listener");
      });
      const inbox = await listen(b, address);
      for (let number = 0; number < 3; number++) a.send(address, bytesOf(number));
      expect((await inbox.take(3)).map(numberOf)).toEqual([0, 1, 2]);
      expect((await warnings.take(1))[0]!.message).toContain("a bug of a listener");
      warnings.stop();
      await closeAll(a, b);
    });

    it("delivers nothing to a closed listener, and everything to its neighbour", async () => {
      const { a, b, address } = await pair();
      const seen: number[] = [];
      const closing = await b.listen(address, (frame) => {
        seen.push(numberOf(frame));
        // The frames behind this one may already be on their way.
        closing.close();
      });
      const inbox = await listen(b, address);
      for (let number = 0; number < 50; number++) a.send(address, bytesOf(number));
      await inbox.take(50);
      expect(seen).toEqual([0]);
      closing.close();
      await closeAll(a, b);
    });

    it("delivers nothing after close, sends nothing after close, and can be closed twice", async () => {
      const { a, b, address } = await pair();
      const witness = await network.connect();
      const inbox = await listen(witness, address);
      let calls = 0;
      await b.listen(address, () => calls++);
      const statuses: TransportStatus[] = [];
      b.onStatus((status) => statuses.push(status));
      expect(b.status).toBe("connected");
      await b.close();
      await b.close();
      expect(b.status).toBe("closed");
      expect(statuses).toEqual(["closed"]);
      a.send(address, bytesOf(1));
      await inbox.take(1);
      expect(calls).toBe(0);
      expectCode(() => b.send(address, bytesOf(1)), "TRANSPORT_CLOSED");
      const refused: unknown = await b.listen(address, () => {}).catch((error: unknown) => error);
      expect(isPsgdError(refused, "TRANSPORT_CLOSED")).toBe(true);
      await b.flush();
      await closeAll(a, witness);
    });

    it("can be closed in the middle of sending and receiving", async () => {
      const { a, b, address } = await pair();
      const done = new Promise<void>((resolve) => {
        let received = 0;
        void b.listen(address, () => {
          if (++received === 5) void b.close().then(resolve);
        });
      });
      await b.flush();
      const frame = new Uint8Array(100_000);
      for (let number = 0; number < 20; number++) a.send(address, frame);
      const closing = a.close();
      expectCode(() => a.send(address, frame), "TRANSPORT_CLOSED");
      await closing;
      // What was sent before the close may or may not arrive: the rest comes from another sender.
      const c = await network.connect();
      for (let number = 0; number < 20; number++) c.send(address, frame);
      await done;
      await c.close();
    });

    it("stops telling about its status when asked to", async () => {
      const { a, b } = await pair();
      let calls = 0;
      a.onStatus(() => calls++)();
      await closeAll(a, b);
      expect(calls).toBe(0);
    });
  });
}

/** What every directory does, as tests. */
export function describeDirectory(name: string, setup: () => Promise<DirectorySetup>): void {
  describe(`directory ${name}`, () => {
    let network: DirectorySetup;
    beforeAll(async () => {
      network = await setup();
    });
    afterAll(async () => {
      await network.dispose();
    });
    /** Long enough for any machine; the tests end as soon as the answers are there. */
    const timeoutMs = 20_000;

    it("finds nobody when nobody is there", async () => {
      expect(await network.visitor.list({ timeoutMs: 10 })).toEqual([]);
    });

    it("lists announced workers, sorted by name and id, as they describe themselves", async () => {
      const infos = [worker("w3", "beta"), worker("w2", "alpha"), worker("w1", "beta")];
      const listeners = await Promise.all(infos.map((info) => network.worker.announce(() => info)));
      const found = await network.visitor.list({
        timeoutMs,
        enough: (workers) => workers.length === 3,
      });
      expect(found).toEqual([infos[1], infos[2], infos[0]]);
      for (const listener of listeners) listener.close();
    });

    it("asks a worker anew at each look", async () => {
      let freeSlots = 2;
      const listener = await network.worker.announce(() => ({ ...worker("w1", "a"), freeSlots }));
      const look = async (): Promise<number | undefined> =>
        (await network.visitor.list({ timeoutMs, enough: (found) => found.length === 1 }))[0]
          ?.freeSlots;
      expect(await look()).toBe(2);
      freeSlots = 1;
      expect(await look()).toBe(1);
      listener.close();
    });

    it("waits for a worker that is announced later", async () => {
      const looking = network.visitor.list({ timeoutMs, enough: (found) => found.length === 1 });
      const listener = await network.worker.announce(() => worker("late", "late"));
      expect((await looking).map((info) => info.workerId)).toEqual(["late"]);
      listener.close();
    });

    it("does not find a worker whose announcement is closed", async () => {
      const gone = await network.worker.announce(() => worker("gone", "gone"));
      const here = await network.worker.announce(() => worker("here", "here"));
      gone.close();
      gone.close();
      const found = await network.visitor.list({ timeoutMs, enough: (all) => all.length > 0 });
      expect(found.map((info) => info.workerId)).toEqual(["here"]);
      here.close();
    });
  });
}

/** A worker that says something in every field. */
function worker(workerId: string, name: string): WorkerInfo {
  return {
    workerId,
    name,
    protocol: 1,
    version: "0.1.0",
    address: `worker.${workerId}`,
    hosts: ["localhost", "127.0.0.1"],
    engines: ["onnx"],
    labels: { zone: "a" },
    slots: 2,
    freeSlots: 1,
    jobs: ["job-1"],
  };
}

/** What has arrived and not been taken. */
interface Inbox<T> {
  /** The next `count`, when they are there. */
  readonly take: (count: number) => Promise<T[]>;
}

function inboxOf<T>(): Inbox<T> & { readonly push: (item: T) => void } {
  const items: T[] = [];
  let wake = (): void => {};
  return {
    push: (item) => {
      items.push(item);
      wake();
    },
    take: async (count) => {
      while (items.length < count) await new Promise<void>((resolve) => (wake = resolve));
      return items.splice(0, count);
    },
  };
}

async function listen(transport: Transport, address: string): Promise<Inbox<Uint8Array>> {
  const inbox = inboxOf<Uint8Array>();
  await transport.listen(address, inbox.push);
  return inbox;
}

function collectWarnings(): Inbox<Error> & { stop(): void } {
  const inbox = inboxOf<Error>();
  process.on("warning", inbox.push);
  return { take: inbox.take, stop: () => void process.off("warning", inbox.push) };
}

function bytesOf(number: number): Uint8Array {
  return new Uint8Array(Float64Array.of(number).buffer);
}

function numberOf(frame: Uint8Array): number {
  return new Float64Array(frame.buffer, frame.byteOffset, 1)[0]!;
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

function expectCode(act: () => unknown, code: Parameters<typeof isPsgdError>[1]): void {
  let thrown: unknown;
  try {
    act();
  } catch (error) {
    thrown = error;
  }
  expect(isPsgdError(thrown, code), `expected ${String(code)}, got ${String(thrown)}`).toBe(true);
}
