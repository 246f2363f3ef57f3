import type { Codec } from "@psgd/core";

/** What is called of a codec while a job runs. */
type CodecCalls = Pick<Codec, "updateBlocks" | "receiveBlocks" | "onListen" | "onSyncTimeout">;

/**
 * Behaves as a codec, some calls of which are others. Nothing is done to the codec itself, which may be frozen.
 * @param current - asked each time for the codec that it stands for
 */
export function standIn(current: () => Codec, calls: Partial<CodecCalls>): Codec {
  // Not the codec as target: of what is frozen, a proxy may not show anything else.
  return new Proxy<object>(
    {},
    {
      getPrototypeOf: () => Reflect.getPrototypeOf(current()),
      get: (_, key) => {
        if (Object.hasOwn(calls, key)) return calls[key as keyof CodecCalls];
        const codec = current();
        const value: unknown = Reflect.get(codec, key, codec);
        const isMethod = typeof value === "function" && key !== "constructor";
        return isMethod ? (value.bind(codec) as unknown) : value;
      },
    },
  ) as Codec;
}
