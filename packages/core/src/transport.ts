/** Whether frames get anywhere at the moment. */
export type TransportStatus = "connected" | "disconnected" | "closed";

/** A place to receive frames; closing it is final and idempotent. */
export interface Listener {
  close(): void;
}

/**
 * Moves opaque frames between addresses: at most once, in order per sender and address while the connection lasts.
 * Frames sent while disconnected are lost. Several listeners of one address each get every frame (fan-out).
 *
 * An address is one or more tokens of letters, digits, `_` and `-`, joined by dots.
 */
export interface Transport {
  /** Frames longer than this are refused with PAYLOAD_TOO_LARGE. */
  readonly maxFrameBytes: number;
  readonly status: TransportStatus;
  /**
   * Calls `onFrame` for each frame sent to `address` from now on (the promise resolves when "now" is). The bytes are
   * the listener's own: nobody else reads or writes them. What the callback throws is a bug; it must not.
   * @throws {PsgdError} TRANSPORT_CLOSED
   */
  listen(address: string, onFrame: (frame: Uint8Array) => void): Promise<Listener>;
  /**
   * Hands a frame over; the bytes are copied or written before this returns.
   * @throws {PsgdError} PAYLOAD_TOO_LARGE, TRANSPORT_CLOSED
   */
  send(address: string, frame: Uint8Array): void;
  /** Resolves when everything sent so far has left this process, or the connection is lost. */
  flush(): Promise<void>;
  /** Calls back at each change of status. @returns stops it */
  onStatus(callback: (status: TransportStatus) => void): () => void;
  /** Delivers nothing more, releases everything; idempotent. */
  close(): Promise<void>;
}

/** What a worker daemon says about itself. */
export interface WorkerInfo {
  readonly workerId: string;
  readonly name: string;
  /** Version of the protocol between submitters, workers and nodes. */
  readonly protocol: number;
  /** Version of the software. */
  readonly version: string;
  /** Where its control link listens. */
  readonly address: string;
  /** Host names and IP addresses it can be found by in a `worker.json`. */
  readonly hosts: readonly string[];
  readonly engines: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly slots: number;
  readonly freeSlots: number;
  /** Ids of the jobs it runs now. */
  readonly jobs: readonly string[];
}

/** Who is there: workers announce themselves, submitters look around. */
export interface WorkerDirectory {
  /** Makes this worker findable until the listener is closed; `info` is asked at each look. */
  announce(info: () => WorkerInfo): Promise<Listener>;
  /**
   * The workers that answer, sorted by name and id. Waits until `enough` says so, else for `timeoutMs`.
   * @throws {PsgdError} CLUSTER_UNREACHABLE
   */
  list(options: {
    timeoutMs: number;
    enough?: (found: readonly WorkerInfo[]) => boolean;
  }): Promise<readonly WorkerInfo[]>;
}
