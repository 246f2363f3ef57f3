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
 * A pulse, 0 while no call runs; calls so far; the last call, and its node. Shared between the thread that calls and the one
 * that watches.
 */
export type CallWatch = Int32Array<SharedArrayBuffer>;

export function createCallWatch(): CallWatch {
  return new Int32Array(new SharedArrayBuffer(4 * Int32Array.BYTES_PER_ELEMENT));
}

/**
 * Calls back when a call lasts for longer than `timeoutMs`.
 * @returns stops watching
 */
export function watchCalls(
  watch: CallWatch,
  timeoutMs: number,
  onStuck: (error: PsgdError) => void,
): () => void {
  return watchPulse(watch, timeoutMs, () => {
    onStuck(
      new PsgdError(
        "CODEC_TIMEOUT",
        `${lastCall(watch)}: expected it to end within ${timeoutMs / 1000} s, got no end; look for an endless loop in it, or in what it calls`,
      ),
    );
  });
}

/** Which call of a codec was the last, in words; `undefined` if there was none. */
export function lastCall([, count, call, nodeId]: CallWatch): string | undefined {
  if (count === 0) return undefined;
  const name = CALLS[call!]!;
  return call === TOP_LEVEL ? name : `${name} of ${nodeName(nodeId!)}, call ${count} of all`;
}

function tell(watch: CallWatch, call: number, nodeId: number): void {
  watch[2] = call;
  watch[3] = nodeId;
  Atomics.store(watch, 0, Atomics.add(watch, 1, 1) + 1);
}

/** What comes next is not the codec's, however long it takes. */
function tellEnd(watch: CallWatch): void {
  Atomics.store(watch, 0, 0);
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
    tellEnd(watch);
    watch[1] = 0;
  }
}

/** The same codec, whose calls are told to the thread that watches this one, if there is one. */
export function watched(codecClass: CodecClass, watch = ownWatch()): CodecClass {
  if (watch === undefined) return codecClass;
  const told = (call: number, nodeId: number, run: () => unknown): unknown => {
    tell(watch, call, nodeId);
    let returned: unknown;
    try {
      return (returned = run());
    } finally {
      // A promise or a generator is code of the codec that is still to run.
      if (typeof returned !== "object" || returned === null) tellEnd(watch);
    }
  };
  class Watched extends (codecClass as typeof Codec) {
    constructor(context: CodecContext) {
      tell(watch!, CONSTRUCTOR, context.nodeId);
      super(context);
      tellEnd(watch!);
      for (let call = CONSTRUCTOR + 1; call < CALLS.length; call++) {
        // Of its own are methods that are arrow functions.
        if (!Object.hasOwn(this, CALLS[call]!)) continue;
        const own = Reflect.get(this, CALLS[call]!) as Method;
        const value = (...args: unknown[]): unknown =>
          told(call, context.nodeId, () => own.apply(this, args));
        // Does nothing to a codec that has frozen itself.
        Reflect.defineProperty(this, CALLS[call]!, { value });
      }
    }
  }
  for (let call = CONSTRUCTOR + 1; call < CALLS.length; call++) {
    Reflect.defineProperty(Watched.prototype, CALLS[call]!, {
      writable: true,
      value(this: Codec, ...args: unknown[]): unknown {
        const method = Reflect.get(codecClass.prototype as object, CALLS[call]!, this) as Method;
        return told(call, this.nodeId, () => method.apply(this, args));
      },
    });
  }
  // Codecs and messages ask for the class of an instance, and for its name.
  Reflect.deleteProperty(Watched.prototype, "constructor");
  Object.defineProperty(Watched, "name", { value: codecClass.name });
  return Watched;
}

type Method = (...args: unknown[]) => unknown;
