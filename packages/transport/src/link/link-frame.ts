import { crc32 } from "node:zlib";
import { PsgdError } from "@psgd/core";
import { uninitialized, WIRE_VERSION } from "@psgd/wire";
import { checkAddress } from "../frame-rules.js";

/**
 * What a frame is: a piece of a message, the last word of a side that closes, an acknowledgement alone (also the sign
 * of life), or the answer to a frame of a link that is not there.
 */
export type FrameType = "data" | "bye" | "ack" | "reset";

/** The position is the number on the wire, so the order never changes. */
const TYPES: readonly FrameType[] = ["data", "bye", "ack", "reset"];

/** Names one side of one link for ever: a restarted process, and a link opened anew, has another. Drawn at random. */
export type LinkId = bigint;

/** No id: the other side's, as long as nothing has come from it. */
export const UNKNOWN_LINK: LinkId = 0n;

/** What a frame says whenever it is sent. */
export interface FrameContent {
  readonly type: FrameType;
  /** Address of the sender. */
  readonly from: string;
  readonly linkId: LinkId;
  /** Position among the sender's `data` and `bye` frames, from 0; 0 in other frames. */
  readonly sequence: number;
  /** Bytes of the whole message this is a piece of. */
  readonly messageBytes: number;
  /** Where in it the piece begins; a multiple of eight. */
  readonly offset: number;
}

/** What of the receiver's frames has arrived; it changes between the times a frame is sent. */
export interface Acknowledgement {
  /** Every frame of the receiver before this position has arrived. */
  readonly acknowledged: number;
  /** Bit i: the frame at position `acknowledged + 1 + i` has arrived too. */
  readonly early: number;
}

export interface Frame extends FrameContent, Acknowledgement {
  /** The receiver's id of the link; 0 while it is unknown. */
  readonly peerLinkId: LinkId;
  /** Starts at an 8-byte boundary if the frame does. */
  readonly payload: Uint8Array;
}

/*
 * A frame, little-endian:
 *   0 u16 mark   2 u8 version   3 u8 type   4 u32 CRC-32 of all that follows, begun with the first four bytes
 *   8 u64 link id   16 u64 link id of the receiver
 *  24 f64 sequence   32 f64 acknowledged   40 u32 early   44 u32 message bytes   48 u32 offset / 8   52 u32 bytes of the address
 *  56 the address of the sender, zeros up to a multiple of eight, the payload
 */
const FIXED_BYTES = 56;
const MAGIC = 0x4c50;
const CHECKSUM_OFFSET = 4;

/** Bytes of everything but the payload. */
export function headerBytes(from: string): number {
  return alignUp(FIXED_BYTES + from.length);
}

/** Makes a frame that is to be sent once its last `payloadBytes` are filled and it is stamped. */
export function frameFor(content: FrameContent, payloadBytes: number): Uint8Array {
  const { type, from, linkId, sequence, messageBytes, offset } = content;
  const payloadStart = headerBytes(from);
  const frame = uninitialized(payloadStart + payloadBytes);
  frame.fill(0, FIXED_BYTES, payloadStart);
  frame.set(Buffer.from(from, "latin1"), FIXED_BYTES);
  const view = viewOf(frame);
  view.setUint16(0, MAGIC, true);
  view.setUint8(2, WIRE_VERSION);
  view.setUint8(3, TYPES.indexOf(type));
  view.setBigUint64(8, linkId, true);
  view.setFloat64(24, sequence, true);
  view.setUint32(44, messageBytes, true);
  view.setUint32(48, offset / 8, true);
  view.setUint32(52, from.length, true);
  return frame;
}

/** Writes what changes between the times a frame is sent, and the checksum. */
export function stamp(
  frame: Uint8Array,
  peerLinkId: LinkId,
  { acknowledged, early }: Acknowledgement,
): void {
  const view = viewOf(frame);
  view.setBigUint64(16, peerLinkId, true);
  view.setFloat64(32, acknowledged, true);
  view.setUint32(40, early, true);
  view.setUint32(CHECKSUM_OFFSET, checksum(frame, view), true);
}

/**
 * Reads a frame from the network.
 * @throws {PsgdError} WIRE_MALFORMED if it is damaged or not one of ours; WIRE_VERSION if it is of another version
 */
export function readFrame(bytes: Uint8Array): Frame {
  if (bytes.length < FIXED_BYTES) {
    throw malformed(`expected at least ${FIXED_BYTES} bytes, got ${bytes.length}`);
  }
  const view = viewOf(bytes);
  if (view.getUint16(0, true) !== MAGIC) {
    throw malformed("expected the mark of a link frame, got other bytes");
  }
  if (view.getUint32(CHECKSUM_OFFSET, true) !== checksum(bytes, view)) {
    throw malformed("expected another checksum; it was damaged on its way");
  }
  const version = view.getUint8(2);
  const type = TYPES[view.getUint8(3)];
  const fromLength = view.getUint32(52, true);
  const payloadStart = alignUp(FIXED_BYTES + Math.min(fromLength, bytes.length));
  if (payloadStart > bytes.length) throw malformed("expected an address, got the end");
  const from = Buffer.from(bytes.subarray(FIXED_BYTES, FIXED_BYTES + fromLength)).toString(
    "latin1",
  );
  if (version !== WIRE_VERSION) {
    throw new PsgdError(
      "WIRE_VERSION",
      `frame: expected version ${WIRE_VERSION}, got ${version}; from ${from}; install the same release on both sides`,
    );
  }
  if (type === undefined) throw malformed("expected a known type, got another");
  checkAddress(from);
  return {
    type,
    from,
    linkId: view.getBigUint64(8, true),
    peerLinkId: view.getBigUint64(16, true),
    sequence: view.getFloat64(24, true),
    acknowledged: view.getFloat64(32, true),
    early: view.getUint32(40, true),
    messageBytes: view.getUint32(44, true),
    offset: view.getUint32(48, true) * 8,
    payload: bytes.subarray(payloadStart),
  };
}

/** Of all but its own place. Two frames that differ in the first four bytes alone have two checksums, too. */
function checksum(frame: Uint8Array, view: DataView): number {
  return crc32(frame.subarray(CHECKSUM_OFFSET + 4), view.getUint32(0, true));
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function alignUp(length: number): number {
  return Math.ceil(length / 8) * 8;
}

function malformed(text: string): PsgdError {
  return new PsgdError("WIRE_MALFORMED", `frame: ${text}`);
}
