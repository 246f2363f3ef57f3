import { isPsgdError, type PsgdError } from "@psgd/core";
import { pack, unpack } from "@psgd/wire";
import { describe, expect, it } from "vitest";
import { frameFor, readFrame, stamp, type Frame } from "./link-frame.js";
import { HEARTBEAT_MS, LinkProtocol } from "./link-protocol.js";
import { WINDOW_FRAMES } from "./sending-window.js";

/** One side of a link whose frames go nowhere but into a list. */
function side(linkId: bigint, chunkBytes = 64) {
  const sent: Frame[] = [];
  const messages: unknown[] = [];
  const ends: (PsgdError | undefined)[] = [];
  const protocol = new LinkProtocol(
    {
      ...{ address: `a${linkId}`, peerAddress: "b", linkId },
      ...{ deadAfterMs: 4000, chunkBytes, windowFrames: WINDOW_FRAMES },
    },
    {
      transmit: (frame) => sent.push(readFrame(frame.slice())),
      deliver: (message) => messages.push(unpack(message)),
      closed: () => ends.push(undefined),
      lost: (error) => ends.push(error),
      progressed: () => {},
    },
    "connected",
    0,
  );
  return { protocol, sent, messages, ends, data: () => sent.filter(({ type }) => type === "data") };
}

/** A frame of the peer with anything in it. */
function fromPeer(header: Partial<Frame>, payload: Uint8Array = new Uint8Array(0)): Frame {
  const whole = {
    ...{
      type: "data" as const,
      from: "b",
      linkId: 9n,
      peerLinkId: 1n,
      sequence: 0,
      acknowledged: 0,
    },
    ...{ early: 0, messageBytes: payload.length, offset: 0 },
    ...header,
  };
  const bytes = frameFor(whole, payload.length);
  bytes.set(payload, bytes.length - payload.length);
  stamp(bytes, whole.peerLinkId, whole);
  return readFrame(bytes);
}

describe("the protocol of a link", () => {
  it("repeats a frame as soon as three later ones have arrived, and only that", () => {
    const { protocol, data } = side(1n);
    for (let number = 0; number < 8; number++) protocol.send(number, 0);
    // Position 2 is missing; 3, 4 and 5 came.
    protocol.onFrame(fromPeer({ type: "ack", acknowledged: 2, early: 0b111 }), 1);
    expect(data().map(({ sequence }) => sequence)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 2]);
    // Hearing the same again changes nothing.
    protocol.onFrame(fromPeer({ type: "ack", acknowledged: 2, early: 0b111 }), 2);
    expect(data()).toHaveLength(9);
  });

  it("repeats only the oldest frame when nothing comes, after pauses that double", () => {
    const { protocol, data } = side(1n);
    protocol.onFrame(fromPeer({ type: "ack" }), 0);
    for (let number = 0; number < 3; number++) protocol.send(number, 0);
    const times: number[] = [];
    for (let now = 1; now < 20_000; now++) {
      const before = data().length;
      // Signs of life that acknowledge nothing: the way there is broken, the way back is not.
      if (now % 1000 === 0) protocol.onFrame(fromPeer({ type: "ack" }), now);
      protocol.onTime(now);
      if (data().length > before) times.push(now);
    }
    expect(data().map(({ sequence }) => sequence)).toEqual([0, 1, 2, 0, 0, 0, 0]);
    expect(times).toEqual([1000, 3000, 7000, 15_000]);
  });

  it("sends no more than its credit, and goes on when some comes back", () => {
    const { protocol, data } = side(1n);
    for (let number = 0; number < WINDOW_FRAMES + 10; number++) protocol.send(number, 0);
    expect(data()).toHaveLength(WINDOW_FRAMES);
    protocol.onFrame(fromPeer({ type: "ack", acknowledged: 4 }), 1);
    expect(data()).toHaveLength(WINDOW_FRAMES + 4);
  });

  it("holds a bounded amount of what a peer sends too early", () => {
    const { protocol, sent } = side(1n);
    for (const sequence of [WINDOW_FRAMES, 2 ** 52, -1, 0.5, NaN, Infinity]) {
      protocol.onFrame(fromPeer({ sequence }, pack(1)), 0);
      expect(sent.at(-1)).toMatchObject({ type: "ack", acknowledged: 0, early: 0 });
    }
    const big = new Uint8Array(512 * 1024);
    for (let sequence = 1; sequence < 20; sequence++)
      protocol.onFrame(fromPeer({ sequence }, big), 0);
    // Eight chunks are the credit.
    expect(sent.at(-1)!.early).toBe(0xff);
  });

  it("survives acknowledgements of what was never sent", () => {
    const { protocol, ends } = side(1n);
    for (const acknowledged of [1e300, NaN, -1, Infinity]) {
      protocol.onFrame(fromPeer({ type: "ack", acknowledged, early: 0xffffffff }), 0);
    }
    protocol.send(1, 0);
    expect(protocol.queuedBytes).toBe(pack(1).length);
    expect(ends).toEqual([]);
  });

  it.each([
    ["a message above the limit", [{ messageBytes: 2 ** 32 - 1 }]],
    ["a piece that does not follow", [{ messageBytes: 64 }, { messageBytes: 64, offset: 24 }]],
    ["a piece of another message", [{ messageBytes: 64 }, { messageBytes: 65, offset: 8 }]],
    ["a first piece in the middle", [{ messageBytes: 64, offset: 8 }]],
    ["a piece beyond the end", [{ messageBytes: 12 }, { messageBytes: 12, offset: 8 }]],
  ])("ends a link whose peer sends %s", (_name, headers) => {
    const { protocol, ends, messages } = side(1n);
    headers.forEach((header, sequence) =>
      protocol.onFrame(fromPeer({ ...header, sequence }, new Uint8Array(8)), 0),
    );
    expect(ends.map((error) => isPsgdError(error, "WIRE_MALFORMED"))).toEqual([true]);
    expect(messages).toEqual([]);
  });

  it("takes no memory for a message before it knows that its size is allowed", () => {
    const { protocol, ends } = side(1n);
    const before = process.memoryUsage().arrayBuffers;
    protocol.onFrame(fromPeer({ messageBytes: 2 ** 31 }, new Uint8Array(8)), 0);
    expect(ends).toHaveLength(1);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 20);
  });

  it("acknowledges at once when half the credit is used, else a little later", () => {
    const { protocol, sent } = side(1n);
    const chunk = new Uint8Array(512 * 1024);
    const messageBytes = 100 * chunk.length;
    const chunkAt = (index: number): Frame =>
      fromPeer({ sequence: index, messageBytes, offset: index * chunk.length }, chunk);
    for (let index = 0; index < 3; index++) protocol.onFrame(chunkAt(index), 0);
    expect(sent).toEqual([]);
    protocol.onFrame(chunkAt(3), 0);
    expect(sent.map(({ acknowledged }) => acknowledged)).toEqual([4]);
    protocol.onFrame(chunkAt(4), 0);
    expect(sent).toHaveLength(1);
    protocol.onTime(protocol.wakeAt);
    expect(sent.map(({ acknowledged }) => acknowledged)).toEqual([4, 5]);
  });

  it("sends its acknowledgement with an answer that is sent while it hands a message over", () => {
    const { protocol, sent, messages } = side(1n);
    messages.push = () => {
      protocol.send("answer", 0);
      return 0;
    };
    protocol.onFrame(fromPeer({}, pack("question")), 0);
    expect(sent.map(({ type, acknowledged }) => [type, acknowledged])).toEqual([["data", 1]]);
    expect(protocol.wakeAt).toBe(HEARTBEAT_MS);
  });

  it("acknowledges with such an answer also what it is about to hand over", () => {
    const { protocol, sent, messages } = side(1n);
    protocol.onFrame(fromPeer({ sequence: 1 }, pack("second")), 0);
    sent.length = 0;
    messages.push = () => {
      protocol.send("answer", 0);
      return 0;
    };
    protocol.onFrame(fromPeer({ sequence: 0 }, pack("first")), 0);
    // With the first answer already: else the second frame's arrival would not be told while nothing else is sent.
    expect(sent.map(({ acknowledged, early }) => [acknowledged, early])).toEqual([
      [2, 0],
      [2, 0],
    ]);
  });

  it("waits for its peer where all has arrived by bits that no honest peer sets", () => {
    const { protocol } = side(1n);
    protocol.onFrame(fromPeer({ type: "ack" }), 0);
    for (let number = 0; number < 2; number++) protocol.send(number, 0);
    protocol.onFrame(fromPeer({ type: "ack", acknowledged: 1 }), 1);
    // Says at once that position 0 is missing, and that 1 is not.
    protocol.onFrame(fromPeer({ type: "ack", acknowledged: 0, early: 1 }), 2);
    protocol.onTime(HEARTBEAT_MS - 1);
    expect(protocol.wakeAt).toBe(HEARTBEAT_MS);
  });

  it("counts silence in its own steps, so that a pause of its process is no silence of the peer", () => {
    const { protocol, ends } = side(1n);
    protocol.onTime(60_000);
    expect(ends).toEqual([]);
    for (let step = 1; step < 8; step++) protocol.onTime(60_000 + step * HEARTBEAT_MS);
    expect(ends.map((error) => isPsgdError(error, "NODE_LOST"))).toEqual([true]);
  });

  it("does not go before its last messages have arrived, while an open link would wait", () => {
    const ended = (hasMessage: boolean): number => {
      const { protocol, ends } = side(1n);
      protocol.onFrame(fromPeer({ type: "ack" }), 0);
      if (hasMessage) protocol.send("last words", 0);
      protocol.close(0);
      let tick = 0;
      while (ends.length === 0) protocol.onTime(++tick * HEARTBEAT_MS);
      return tick * HEARTBEAT_MS;
    };
    // Nobody answers: whoever has said all goes soon, who has not waits as long as a peer may be silent.
    expect(ended(false)).toBe(2500);
    expect(ended(true)).toBe(4000);
  });

  it("gives a sign of life in every step in which it said nothing else", () => {
    const { protocol, sent } = side(1n);
    for (let now = HEARTBEAT_MS; now <= 6 * HEARTBEAT_MS; now += HEARTBEAT_MS) protocol.onTime(now);
    expect(sent.map(({ type }) => type)).toEqual(Array<string>(6).fill("ack"));
  });
});
