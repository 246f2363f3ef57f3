/** What the transport at one end of a port says to the switch at the other. */
export type ToSwitch =
  | { readonly type: "listen"; readonly listenerId: number; readonly address: string }
  | { readonly type: "unlisten"; readonly listenerId: number }
  | { readonly type: "send"; readonly address: string; readonly frame: Uint8Array<ArrayBuffer> }
  | { readonly type: "flush"; readonly flushId: number };

/** What the switch answers. */
export type FromSwitch =
  | { readonly type: "listening"; readonly listenerId: number }
  | { readonly type: "frame"; readonly listenerId: number; readonly frame: Uint8Array<ArrayBuffer> }
  | { readonly type: "flushed"; readonly flushId: number };
