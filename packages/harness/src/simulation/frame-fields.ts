/** What a frame of a link says of itself. */
export interface FrameFields {
  /** Whether it has a position: a piece of a message, or a goodbye. */
  readonly isPlaced: boolean;
  readonly linkId: bigint;
  /** The receiver's id of the link; 0 while its sender does not know it. */
  readonly peerLinkId: bigint;
  readonly sequence: number;
  /** How many of the receiver's frames its sender has. */
  readonly acknowledged: number;
}

/** Reads a frame that its sender has just made. The layout is that of `link-frame.ts` in the transport. */
export function frameFields(frame: Uint8Array): FrameFields {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  return {
    isPlaced: view.getUint8(3) < 2,
    linkId: view.getBigUint64(8, true),
    peerLinkId: view.getBigUint64(16, true),
    sequence: view.getFloat64(24, true),
    acknowledged: view.getFloat64(32, true),
  };
}
