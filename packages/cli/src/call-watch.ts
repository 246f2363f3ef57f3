import { workerData } from "node:worker_threads";
import { PsgdError, nodeName, type Codec, type CodecClass, type CodecContext } from "@psgd/core";
import { watchPulse } from "@psgd/runtime";

/** What of a codec can last; the order is what the shared memory refers to. */
const CALLS = [
  "the top level of its file",
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
const [TOP_LEVEL, CONSTRUCTOR] = [0, 1];

/**
 * Calls so far, 0 while the codec has nothing to do; the last call, and its node. Shared between the thread that calls and the
 * one that watches.
 */
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
    onStuck(
      new PsgdError(
        "CODEC_TIMEOUT",
        `${lastCall(watch)}: expected it to end within ${STUCK_AFTER_MS / 1000} s, got no end; look for an endless loop in it, or in what it calls`,
      ),
    );
  });
}

/** Which call of a codec was the last, in words; `undefined` if there was none. */
export function lastCall([count, call, nodeId]: CallWatch): string | undefined {
  if (count === 0) return undefined;
  const name = CALLS[call!]!;
  return call === TOP_LEVEL ? name : `${name} of ${nodeName(nodeId!)}, call ${count} of all`;
}

function tell(watch: CallWatch, call: number, nodeId: number): void {
  watch[1] = call;
  watch[2] = nodeId;
  Atomics.add(watch, 0, 1);
}

/** Of the thread that this is, if it is watched. */
function ownWatch(): CallWatch | undefined {
  return (workerData as { watch?: CallWatch } | null)?.watch;
}

/** Runs what loads a codec's file, whose top level is code of the codec, too. */
export async function watchedLoad<T>(load: () => Promise<T>): Promise<T> {
  const watch = ownWatch();
  if (watch === undefined) return load();
  tell(watch, TOP_LEVEL, 0);
  try {
    return await load();
  } finally {
    Atomics.store(watch, 0, 0);
  }
}

/** The same codec, whose calls are told to the thread that watches this one, if there is one. */
export function watched(codecClass: CodecClass): CodecClass {
  const watch = ownWatch();
  if (watch === undefined) return codecClass;
  class Watched extends (codecClass as typeof Codec) {
    constructor(context: CodecContext) {
      tell(watch!, CONSTRUCTOR, context.nodeId);
      super(context);
      // On the instance: a codec may have its methods there, too, as arrow functions.
      for (let call = CONSTRUCTOR + 1; call < CALLS.length; call++) {
        const method = Reflect.get(this, CALLS[call]!) as (...args: unknown[]) => unknown;
        const told = (...args: unknown[]): unknown => {
          tell(watch!, call, context.nodeId);
          return method.apply(this, args);
        };
        Object.assign(this, { [CALLS[call]!]: told });
      }
    }
  }
  // Messages name it.
  Object.defineProperty(Watched, "name", { value: codecClass.name });
  return Watched;
}
