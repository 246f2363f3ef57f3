import type { Listener, Transport, TransportStatus } from "@psgd/core";
import type { NatsConnection, Subscription } from "@nats-io/transport-node";
import { callSafely, Callbacks } from "../callbacks.js";
import { checkAddress, checkFrame, closedError, MAX_FRAME_BYTES, ownCopy } from "../frame-rules.js";

/** Everything of ours on a server that others may use too. */
const SUBJECT_PREFIX = "psgd.";

/** Addresses are subjects. */
export class NatsTransport implements Transport {
  readonly #connection: NatsConnection;
  readonly #subscriptions = new Set<Subscription>();
  readonly #statusCallbacks = new Callbacks<[TransportStatus]>();
  #status: TransportStatus = "connected";

  constructor(connection: NatsConnection) {
    this.#connection = connection;
    void this.#watch();
  }

  get maxFrameBytes(): number {
    // NOTE: the client knows the server's limit only while connected; ours holds always.
    return Math.min(MAX_FRAME_BYTES, this.#connection.info?.max_payload ?? MAX_FRAME_BYTES);
  }

  get status(): TransportStatus {
    return this.#status;
  }

  async listen(address: string, onFrame: (frame: Uint8Array) => void): Promise<Listener> {
    checkAddress(address);
    if (this.#status === "closed") throw closedError(`listen at ${address}`);
    const subscription = this.#connection.subscribe(SUBJECT_PREFIX + address, {
      // NOTE: an exception here would stop every subscription of the connection, silently.
      callback: (error, message) => {
        if (error !== null || this.#status === "closed") return;
        // The payload is a slice of the client's buffer, at any offset, and would pin all of it.
        callSafely(onFrame, ownCopy(message.data));
      },
    });
    this.#subscriptions.add(subscription);
    await this.flush();
    return {
      close: () => {
        if (this.#subscriptions.delete(subscription)) subscription.unsubscribe();
      },
    };
  }

  send(address: string, frame: Uint8Array): void {
    checkAddress(address);
    checkFrame(address, frame, this.maxFrameBytes);
    if (this.#status === "closed") throw closedError(`send to ${address}`);
    // NOTE: what the client takes while disconnected it forgets when it reconnects, after holding all of it in memory.
    if (this.#status === "disconnected") return;
    // A copy, since the client reads small frames only in a later microtask.
    this.#connection.publish(SUBJECT_PREFIX + address, ownCopy(frame));
  }

  async flush(): Promise<void> {
    if (this.#status !== "connected") return;
    // Rejects when the connection is lost, which ends the wait as well as an answer does.
    await this.#connection.flush().catch(() => undefined);
  }

  onStatus(callback: (status: TransportStatus) => void): () => void {
    return this.#statusCallbacks.add(callback);
  }

  async close(): Promise<void> {
    this.#become("closed");
    await this.#connection.close();
  }

  async #watch(): Promise<void> {
    for await (const event of this.#connection.status()) {
      if (event.type === "disconnect") this.#become("disconnected");
      if (event.type === "reconnect") this.#become("connected");
    }
    this.#become("closed");
  }

  #become(status: TransportStatus): void {
    if (this.#status === status || this.#status === "closed") return;
    this.#status = status;
    this.#statusCallbacks.call(status);
  }
}
