import type { MessagePort } from "node:worker_threads";
import type { Listener, Transport, TransportStatus } from "@psgd/core";
import { callSafely, Callbacks } from "../callbacks.js";
import { checkAddress, checkFrame, closedError, MAX_FRAME_BYTES, ownCopy } from "../frame-rules.js";
import type { FromSwitch, ToSwitch } from "./port-protocol.js";

/**
 * A transport of another thread than the `MemoryNetwork`'s, over a port whose other end is given to `attach`. The port
 * belongs to it from now on; while it is open, it keeps the thread alive.
 */
export function memoryTransportOverPort(port: MessagePort): Transport {
  return new PortTransport(port);
}

class PortTransport implements Transport {
  readonly maxFrameBytes = MAX_FRAME_BYTES;
  readonly #port: MessagePort;
  readonly #onFrame = new Map<number, (frame: Uint8Array) => void>();
  /** Called with whether the switch answered; by id of listener or flush. */
  readonly #waiting = new Map<number, (answered: boolean) => void>();
  readonly #statusCallbacks = new Callbacks<[TransportStatus]>();
  #status: TransportStatus = "connected";
  #nextId = 0;

  constructor(port: MessagePort) {
    this.#port = port;
    port.on("message", (message: FromSwitch) => this.#receive(message));
    port.on("close", () => this.#end());
  }

  get status(): TransportStatus {
    return this.#status;
  }

  async listen(address: string, onFrame: (frame: Uint8Array) => void): Promise<Listener> {
    checkAddress(address);
    if (this.#status === "closed") throw closedError(`listen at ${address}`);
    const listenerId = this.#nextId++;
    this.#onFrame.set(listenerId, onFrame);
    this.#post({ type: "listen", listenerId, address });
    if (!(await this.#answer(listenerId))) throw closedError(`listen at ${address}`);
    return {
      close: () => {
        if (this.#onFrame.delete(listenerId)) this.#post({ type: "unlisten", listenerId });
      },
    };
  }

  send(address: string, frame: Uint8Array): void {
    checkAddress(address);
    checkFrame(address, frame, this.maxFrameBytes);
    if (this.#status === "closed") throw closedError(`send to ${address}`);
    const copy = ownCopy(frame);
    this.#post({ type: "send", address, frame: copy }, [copy.buffer]);
  }

  async flush(): Promise<void> {
    if (this.#status === "closed") return;
    const flushId = this.#nextId++;
    this.#post({ type: "flush", flushId });
    await this.#answer(flushId);
  }

  onStatus(callback: (status: TransportStatus) => void): () => void {
    return this.#statusCallbacks.add(callback);
  }

  async close(): Promise<void> {
    this.#end();
    this.#port.close();
  }

  #post(message: ToSwitch, transfer: ArrayBuffer[] = []): void {
    this.#port.postMessage(message, transfer);
  }

  /** Whether the switch answered; not if the port closed first. */
  #answer(id: number): Promise<boolean> {
    return new Promise((resolve) => this.#waiting.set(id, resolve));
  }

  #receive(message: FromSwitch): void {
    if (this.#status === "closed") return;
    switch (message.type) {
      case "frame": {
        const onFrame = this.#onFrame.get(message.listenerId);
        if (onFrame !== undefined) callSafely(onFrame, message.frame);
        break;
      }
      case "listening":
        this.#settle(message.listenerId, true);
        break;
      case "flushed":
        this.#settle(message.flushId, true);
    }
  }

  #settle(id: number, answered: boolean): void {
    this.#waiting.get(id)?.(answered);
    this.#waiting.delete(id);
  }

  #end(): void {
    if (this.#status === "closed") return;
    this.#status = "closed";
    this.#onFrame.clear();
    for (const id of [...this.#waiting.keys()]) this.#settle(id, false);
    this.#statusCallbacks.call("closed");
  }
}
