import type { MessagePort } from "node:worker_threads";
import type { Clock, Listener, Transport, TransportStatus, WorkerDirectory } from "@psgd/core";
import { callSafely, Callbacks } from "../callbacks.js";
import { checkAddress, checkFrame, closedError, MAX_FRAME_BYTES, ownCopy } from "../frame-rules.js";
import { MemoryDirectory, type Announcements } from "./memory-directory.js";
import { servePort } from "./port-server.js";

/** Takes a frame for good. */
type Receiver = (frame: Uint8Array<ArrayBuffer>) => void;

/**
 * A switch that lives in one thread and passes frames between transports of this thread and, by message ports, of
 * others. Delivery is never inside `send`; frames of one sender keep their order.
 */
export class MemoryNetwork {
  readonly #receivers = new Map<string, Set<Receiver>>();
  readonly #announcements: Announcements = new Set();

  /** A transport for this thread. */
  connect(): Transport {
    return new MemoryTransport(this);
  }

  /**
   * Serves the transport that `memoryTransportOverPort` makes of the other end, until either side closes or its thread
   * ends. Does not keep this thread alive.
   */
  attach(port: MessagePort): void {
    servePort(port, this);
  }

  /** Workers announced in this thread. */
  directory(clock: Clock): WorkerDirectory {
    return new MemoryDirectory(this.#announcements, clock);
  }

  /** How many listen at the address now. */
  listenerCount(address: string): number {
    return this.#receivers.get(address)?.size ?? 0;
  }

  /** @internal Hands every frame sent to the address from now on to the receiver. @returns stops it */
  register(address: string, receive: Receiver): () => void {
    const receivers = this.#receivers.get(address) ?? new Set();
    this.#receivers.set(address, receivers.add(receive));
    return () => {
      receivers.delete(receive);
      if (receivers.size === 0 && this.#receivers.get(address) === receivers) {
        this.#receivers.delete(address);
      }
    };
  }

  /** @internal Hands the frame, which the network now owns, to the receivers of the address; copies if there are several. */
  route(address: string, frame: Uint8Array<ArrayBuffer>): void {
    const receivers = [...(this.#receivers.get(address) ?? [])];
    // The copies first: whoever gets the frame itself may send it on to another thread, and then it is empty here.
    const copies = receivers.slice(1).map(() => ownCopy(frame));
    receivers.forEach((receive, index) => receive(copies[index - 1] ?? frame));
  }
}

class MemoryTransport implements Transport {
  readonly maxFrameBytes = MAX_FRAME_BYTES;
  readonly #network: MemoryNetwork;
  readonly #listeners = new Set<Listener>();
  readonly #statusCallbacks = new Callbacks<[TransportStatus]>();
  #status: TransportStatus = "connected";

  constructor(network: MemoryNetwork) {
    this.#network = network;
  }

  get status(): TransportStatus {
    return this.#status;
  }

  async listen(address: string, onFrame: (frame: Uint8Array) => void): Promise<Listener> {
    checkAddress(address);
    if (this.#status === "closed") throw closedError(`listen at ${address}`);
    let open = true;
    const unregister = this.#network.register(address, (frame) => {
      queueMicrotask(() => {
        if (open) callSafely(onFrame, frame);
      });
    });
    const listener = {
      close: () => {
        open = false;
        unregister();
        this.#listeners.delete(listener);
      },
    };
    this.#listeners.add(listener);
    return listener;
  }

  send(address: string, frame: Uint8Array): void {
    checkAddress(address);
    checkFrame(address, frame, this.maxFrameBytes);
    if (this.#status === "closed") throw closedError(`send to ${address}`);
    this.#network.route(address, ownCopy(frame));
  }

  async flush(): Promise<void> {}

  onStatus(callback: (status: TransportStatus) => void): () => void {
    return this.#statusCallbacks.add(callback);
  }

  async close(): Promise<void> {
    if (this.#status === "closed") return;
    this.#status = "closed";
    for (const listener of [...this.#listeners]) listener.close();
    this.#statusCallbacks.call("closed");
  }
}
