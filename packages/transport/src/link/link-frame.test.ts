import { isPsgdError, seededRandom } from "@psgd/core";
import { describe, expect, it } from "vitest";
import { frameFor, readFrame, stamp, type Frame } from "./link-frame.js";

type FrameHeader = Omit<Frame, "payload">;

const HEADER: FrameHeader = {
  type: "data",
  from: "job.1.node.2",
  linkId: 2n ** 63n + 1n,
  peerLinkId: 77n,
  sequence: 2 ** 40,
  acknowledged: 2 ** 41,
  early: 0xffffffff,
  messageBytes: 2 ** 30,
  offset: 8 * 12345,
};

/** A frame that is ready to be sent, its payload all alike. */
function stamped(header: FrameHeader, payloadBytes = 0, byte = 0): Uint8Array {
  const bytes = frameFor(header, payloadBytes);
  bytes.fill(byte, bytes.length - payloadBytes);
  stamp(bytes, header.peerLinkId, header);
  return bytes;
}

function thrownBy(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return error;
  }
  return undefined;
}

describe("a link frame", () => {
  it("brings back its header, and its payload at an eight-byte boundary", () => {
    for (const from of ["a", "ab.c", "x".repeat(255)]) {
      const bytes = frameFor({ ...HEADER, from }, 5);
      bytes.set([1, 2, 3, 4, 5], bytes.length - 5);
      stamp(bytes, HEADER.peerLinkId, HEADER);
      const { payload, ...header } = readFrame(bytes);
      expect(header).toEqual({ ...HEADER, from });
      expect([...payload]).toEqual([1, 2, 3, 4, 5]);
      expect(payload.byteOffset % 8).toBe(0);
    }
  });

  it("is refused after any single bit has flipped", () => {
    const bytes = stamped(HEADER, 16, 0xa5);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      expect(
        isPsgdError(
          thrownBy(() => readFrame(bytes)),
          "WIRE_MALFORMED",
        ),
        `bit ${bit}`,
      ).toBe(true);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
    }
    expect(thrownBy(() => readFrame(bytes))).toBeUndefined();
  });

  it("is refused when cut, and random bytes are refused, with an error of ours", () => {
    const whole = stamped(HEADER, 100);
    const random = seededRandom("frames");
    for (let length = 0; length < whole.length; length++) {
      expect(isPsgdError(thrownBy(() => readFrame(whole.subarray(0, length))))).toBe(true);
      const noise = Uint8Array.from({ length }, () => random.uint32());
      expect(isPsgdError(thrownBy(() => readFrame(noise)))).toBe(true);
    }
  });

  it("of another version is refused as such, naming the sender", () => {
    const bytes = frameFor(HEADER, 0);
    bytes[2] = 9;
    stamp(bytes, 0n, HEADER);
    const error = thrownBy(() => readFrame(bytes));
    expect(isPsgdError(error, "WIRE_VERSION")).toBe(true);
    expect((error as Error).message).toMatch(/got 9; from job\.1\.node\.2/);
  });

  it("with an address that cannot be answered is refused", () => {
    for (const from of ["a b", "a.>", ""]) {
      const error = thrownBy(() => readFrame(stamped({ ...HEADER, from })));
      expect(isPsgdError(error), from).toBe(true);
      expect((error as Error).message).not.toMatch(/checksum/);
    }
  });
});
