import type { MessagePort } from "node:worker_threads";
import type { FromSwitch, ToSwitch } from "./port-protocol.js";

/** The part of the network that a port needs. */
interface Switch {
  register(address: string, receive: (frame: Uint8Array<ArrayBuffer>) => void): () => void;
  route(address: string, frame: Uint8Array<ArrayBuffer>): void;
}

/** The switch's end of a port. Its order is the sender's order, and it closes by itself when the other thread ends. */
export function servePort(port: MessagePort, network: Switch): void {
  const unregister = new Map<number, () => void>();
  const answer = (message: FromSwitch, transfer: ArrayBuffer[] = []): void =>
    port.postMessage(message, transfer);

  port.on("message", (message: ToSwitch) => {
    switch (message.type) {
      case "listen": {
        const { listenerId, address } = message;
        const forward = (frame: Uint8Array<ArrayBuffer>): void =>
          answer({ type: "frame", listenerId, frame }, [frame.buffer]);
        unregister.set(listenerId, network.register(address, forward));
        answer({ type: "listening", listenerId });
        break;
      }
      case "unlisten":
        unregister.get(message.listenerId)?.();
        unregister.delete(message.listenerId);
        break;
      case "send":
        network.route(message.address, message.frame);
        break;
      case "flush":
        answer({ type: "flushed", flushId: message.flushId });
    }
  });
  port.on("close", () => {
    for (const stop of unregister.values()) stop();
  });
  port.unref();
}
