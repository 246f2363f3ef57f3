import { crc32 } from "node:zlib";
import { PsgdError } from "@psgd/core";
import { uninitialized } from "@psgd/wire";

/** Version of the frames; another one is refused. */
const LINK_VERSION = 1;

/**
 * What a frame is: a piece of a message, the last word of a link that closes, an acknowledgement alone (also the sign
 * of life), or the answer to a frame of a link that is not there.
 */
export type FrameType = "data" | "bye" | "ack" | "reset";

const TYPES: readonly FrameType[] = ["data", "bye", "ack", "reset"];

/** One session of an endpoint: a restarted one is another. */
export type Incarnation = bigint;

export interface FrameHeader {
  readonly type: FrameType;
  readonly from: string;
  readonly incarnation: Incarnation;
  /** The incarnation this is meant for; 0 while it is unknown. */
  readonly peerIncarnation: Incarnation;
  /** Position among the sender's `data` and `bye` frames, from 0; of the next one in other frames. */
  readonly sequence: number;
  /** Every frame of the receiver before this position has arrived. */
  readonly acknowledged: number;
  /** Bytes of the whole message this is a piece of. */
  readonly messageBytes: number;
  /** Where in it the piece begins. */
  readonly offset: number;
}

export interface Frame extends FrameHeader {
  /** Starts at an 8-byte boundary if the frame does. */
  readonly payload: Uint8Array;
}

const FIXED_BYTES = 56;
const MAGIC = 0x4c50;
const CHECKSUM_OFFSET = 4;

/**
 * Makes a frame with room for `payloadBytes` at its end.
 * @returns the frame, to be filled from `payloadStart` on and then sealed
 */
export function frameFor(
  header: FrameHeader,
  payloadBytes: number,
): { frame: Uint8Array; payloadStart: number } {
  const from = new TextEncoder().encode(header.from);
  const payloadStart = alignUp(FIXED_BYTES + from.length);
  const frame = uninitialized(payloadStart + payloadBytes);
  frame.fill(0, FIXED_BYTES + from.length, payloadStart);
  frame.set(from, FIXED_BYTES);
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  view.setUint16(0, MAGIC, true);
  view.setUint8(2, LINK_VERSION);
  view.setUint8(3, TYPES.indexOf(header.type));
  view.setBigUint64(8, header.incarnation, true);
  view.setBigUint64(16, header.peerIncarnation, true);
  view.setFloat64(24, header.sequence, true);
  view.setFloat64(32, header.acknowledged, true);
  view.setFloat64(40, header.messageBytes, true);
  // Pieces are far smaller than messages may be, but where they begin may be as far.
  view.setUint32(48, Math.floor(header.offset / 8), true);
  view.setUint32(52, from.length, true);
  return { frame, payloadStart };
}

/** Sets the checksum, when everything else is written. */
export function seal(frame: Uint8Array): Uint8Array {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  view.setUint32(CHECKSUM_OFFSET, 0, true);
  view.setUint32(CHECKSUM_OFFSET, crc32(frame), true);
  return frame;
}

/** Writes the newest acknowledgement into a frame that is about to be sent (again). */
export function stamp(
  frame: Uint8Array,
  acknowledged: number,
  peerIncarnation: Incarnation,
): Uint8Array {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  view.setBigUint64(16, peerIncarnation, true);
  view.setFloat64(32, acknowledged, true);
  return seal(frame);
}

/**
 * Reads a frame from the network.
 * @throws {PsgdError} WIRE_MALFORMED if it is damaged or not one of ours; WIRE_VERSION if it is of another version
 */
export function readFrame(bytes: Uint8Array): Frame {
  if (bytes.length < FIXED_BYTES)
    throw malformed(`expected at least ${FIXED_BYTES} bytes, got ${bytes.length}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint16(0, true) !== MAGIC)
    throw malformed("expected the mark of a link frame, got other bytes");
  const version = view.getUint8(2);
  if (version !== LINK_VERSION) {
    throw new PsgdError(
      "WIRE_VERSION",
      `frame: expected link version ${LINK_VERSION}, got ${version}; install the same version on both sides`,
    );
  }
  const checksum = view.getUint32(CHECKSUM_OFFSET, true);
  // The checksum is over the frame with zeros in its own place, so it is taken in three parts.
  const head = crc32(bytes.subarray(0, CHECKSUM_OFFSET));
  const computed = crc32(bytes.subarray(CHECKSUM_OFFSET + 4), crc32(ZEROS, head));
  if (checksum !== computed)
    throw malformed("expected another checksum; it was damaged on its way");
  const type = TYPES[view.getUint8(3)];
  const fromLength = view.getUint32(52, true);
  const payloadStart = alignUp(FIXED_BYTES + fromLength);
  if (type === undefined || fromLength > 255 || payloadStart > bytes.length)
    throw malformed("expected a known type and a short address");
  return {
    type,
    from: new TextDecoder().decode(bytes.subarray(FIXED_BYTES, FIXED_BYTES + fromLength)),
    incarnation: view.getBigUint64(8, true),
    peerIncarnation: view.getBigUint64(16, true),
    sequence: view.getFloat64(24, true),
    acknowledged: view.getFloat64(32, true),
    messageBytes: view.getFloat64(40, true),
    offset: view.getUint32(48, true) * 8,
    payload: bytes.subarray(payloadStart),
  };
}

const ZEROS = new Uint8Array(4);

function alignUp(length: number): number {
  return (length + 7) & ~7;
}

function malformed(text: string): PsgdError {
  return new PsgdError("WIRE_MALFORMED", `frame: ${text}`);
}
