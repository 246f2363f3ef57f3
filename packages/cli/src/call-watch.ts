import { workerData } from "node:worker_threads";
import { PsgdError, nodeName, type Codec, type CodecClass, type CodecContext } from "@psgd/core";
import { watchPulse } from "@psgd/runtime";

/** What of a codec is called; the order is what the shared memory refers to. */
const METHODS = [
  "constructor",
  "updateBlocks",
  "receiveBlocks",
  "onListen",
  "onSyncTimeout",
  "roleIn",
  "exportState",
  "importState",
  "dispose",
] as const;

/** Calls so far; the last one's method and node. Shared between the thread that calls and the one that watches. */
export type CallWatch = Int32Array<SharedArrayBuffer>;

export function createCallWatch(): CallWatch {
  return new Int32Array(new SharedArrayBuffer(3 * Int32Array.BYTES_PER_ELEMENT));
}

/** Longer than a call takes with any model that fits into one process. */
const STUCK_AFTER_MS = 5000;

/**
 * Calls back when no call has begun for long, though there was one before.
 * @returns stops watching
 */
export function watchCalls(watch: CallWatch, onStuck: (error: PsgdError) => void): () => void {
  return watchPulse(watch, STUCK_AFTER_MS, () => {
    const [count, method, nodeId] = watch as unknown as [number, number, number];
    onStuck(
      new PsgdError(
        "CODEC_TIMEOUT",
        `${METHODS[method]!}: expected it to end within ${STUCK_AFTER_MS / 1000} s, got no end; ${nodeName(nodeId)}, call ${count} of all; ` +
          "look for an endless loop in it, or in what it calls",
        { details: { node: nodeId } },
      ),
    );
  });
}

/** The same codec, whose calls are told to the thread that watches this one, if there is one. */
export function watched(codecClass: CodecClass): CodecClass {
  const watch = (workerData as { watch?: CallWatch } | null)?.watch;
  if (watch === undefined) return codecClass;
  const tell = (method: number, nodeId: number): void => {
    watch[1] = method;
    watch[2] = nodeId;
    Atomics.add(watch, 0, 1);
  };
  class Watched extends (codecClass as typeof Codec) {
    constructor(context: CodecContext) {
      tell(0, context.nodeId);
      super(context);
      // On the instance: a codec may have its methods there, too, as arrow functions.
      METHODS.slice(1).forEach((method, index) => {
        const call = Reflect.get(this, method) as (...args: unknown[]) => unknown;
        const told = (...args: unknown[]): unknown => {
          tell(index + 1, context.nodeId);
          return call.apply(this, args);
        };
        Object.assign(this, { [method]: told });
      });
    }
  }
  // Messages name it.
  Object.defineProperty(Watched, "name", { value: codecClass.name });
  return Watched;
}
