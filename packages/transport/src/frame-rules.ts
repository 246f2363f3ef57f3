import { PsgdError } from "@psgd/core";
import { uninitialized } from "@psgd/wire";

/** Most payload in one frame, bytes: NATS servers take up to 1 MiB by default and move frames of this size fastest. */
export const CHUNK_BYTES = 512 * 1024;

/** Largest frame: a chunk with room for the header of the link. */
export const MAX_FRAME_BYTES = CHUNK_BYTES + 1024;

const MAX_ADDRESS_LENGTH = 255;

/** @throws {PsgdError} SETTINGS_INVALID */
export function checkAddress(address: string): void {
  if (address.length <= MAX_ADDRESS_LENGTH && /^[\w-]+(\.[\w-]+)*$/.test(address)) return;
  throw new PsgdError(
    "SETTINGS_INVALID",
    `address: expected tokens of letters, digits, \`_\` and \`-\` joined by dots, at most ${MAX_ADDRESS_LENGTH} ` +
      `characters, got ${JSON.stringify(address.slice(0, 80))}`,
  );
}

/** @throws {PsgdError} PAYLOAD_TOO_LARGE */
export function checkFrame(address: string, frame: Uint8Array, maxFrameBytes: number): void {
  if (frame.length <= maxFrameBytes) return;
  throw new PsgdError(
    "PAYLOAD_TOO_LARGE",
    `frame: expected at most ${maxFrameBytes} bytes, got ${frame.length}; to ${address}; send large values over a link`,
  );
}

/** @throws {PsgdError} TRANSPORT_CLOSED */
export function closedError(doing: string): PsgdError {
  return new PsgdError(
    "TRANSPORT_CLOSED",
    `${doing}: expected an open transport, got a closed one`,
  );
}

/** A copy with memory of its own that starts at an 8-byte boundary. */
export function ownCopy(frame: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = uninitialized(frame.length);
  copy.set(frame);
  return copy;
}
