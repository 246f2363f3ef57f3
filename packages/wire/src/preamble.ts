import { PsgdError } from "@psgd/core";
import { MAX_METADATA_BYTES } from "./limits.js";
import { WIRE_VERSION } from "./version.js";

/*
 * A packed value, little-endian:
 *   u8 "P", u8 version, u16 zero, u32 bytes of metadata
 *   metadata: one MessagePack value in which marks stand for typed arrays
 *   the bytes of each typed array, in the order of the marks, each at a multiple of eight; zeros between
 */
export const PREAMBLE_BYTES = 8;
const MAGIC = 0x50;

/** The next multiple of eight. */
export function alignUp(offset: number): number {
  return Math.ceil(offset / 8) * 8;
}

export function writePreamble(bytes: Uint8Array, metadataBytes: number): void {
  bytes[0] = MAGIC;
  bytes[1] = WIRE_VERSION;
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(4, metadataBytes, true);
}

/**
 * Bytes of metadata that follow.
 * @throws {PsgdError} WIRE_MALFORMED, WIRE_VERSION
 */
export function readPreamble(bytes: Uint8Array): number {
  if (bytes.length < PREAMBLE_BYTES || bytes[0] !== MAGIC) {
    throw malformed(`expected a packed value, got ${bytes.length} bytes of something else`);
  }
  if (bytes[1] !== WIRE_VERSION) {
    throw new PsgdError(
      "WIRE_VERSION",
      `packed value: expected version ${WIRE_VERSION}, got ${String(bytes[1])}; run the same release on both sides`,
    );
  }
  const metadataBytes = new DataView(bytes.buffer, bytes.byteOffset).getUint32(4, true);
  const room = Math.min(bytes.length - PREAMBLE_BYTES, MAX_METADATA_BYTES);
  if (bytes[2] !== 0 || bytes[3] !== 0 || metadataBytes > room) {
    throw malformed(`expected at most ${room} bytes of metadata, got ${metadataBytes}`);
  }
  return metadataBytes;
}

export function malformed(text: string, cause?: unknown): PsgdError {
  const options = cause === undefined ? {} : { cause };
  return new PsgdError("WIRE_MALFORMED", `packed value: ${text}; 1 message refused`, options);
}
