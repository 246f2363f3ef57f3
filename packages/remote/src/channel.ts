import { pack, unpack } from "@psgd/wire";

/**
 * A line between a caller and a worker: messages arrive once and in order, or it is lost. A link of `transport` is one.
 * Messages are copied when they are sent.
 */
export interface Channel {
  send(message: unknown): void;
  onMessage(callback: (message: unknown) => void): void;
  /** The other side is gone. */
  onLost(callback: (cause: Error) => void): void;
  /** The other side has said goodbye. */
  onClosed(callback: () => void): void;
  close(): Promise<void>;
}

/** Two ends of a line within one process. Messages are packed as for a network, so that nothing is shared. */
export function channelPair(): [Channel, Channel] {
  const [first, second] = [new LocalChannel(), new LocalChannel()];
  first.peer = second;
  second.peer = first;
  return [first, second];
}

class LocalChannel implements Channel {
  peer: LocalChannel | undefined;
  deliver: (message: unknown) => void = () => {};
  end: () => void = () => {};

  send(message: unknown): void {
    const bytes = pack(message);
    const { peer } = this;
    // Not at once: as over a network, the sender goes on first.
    queueMicrotask(() => peer?.deliver(unpack(bytes)));
  }

  onMessage(callback: (message: unknown) => void): void {
    this.deliver = callback;
  }

  onLost(): void {
    // Within a process nobody gets lost.
  }

  onClosed(callback: () => void): void {
    this.end = callback;
  }

  close(): Promise<void> {
    const { peer } = this;
    queueMicrotask(() => peer?.end());
    return Promise.resolve();
  }
}
