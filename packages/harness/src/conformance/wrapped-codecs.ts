import type { BlockWeight, Codec, CodecClass, CodecContext, CodecReturn } from "@psgd/core";
import { pack, unpack } from "@psgd/wire";
import { standIn } from "../stand-in.js";

/** A codec class that behaves as another, with something done before its calls. */
function wrapped(codecClass: CodecClass, create: (context: CodecContext) => Codec): CodecClass {
  const stand = function (context: CodecContext): Codec {
    return create(context);
  } as unknown as CodecClass;
  // Named like the original: messages name it.
  for (const key of ["name", "carries", "returns", "server"] as const)
    Object.defineProperty(stand, key, { value: codecClass[key], configurable: true });
  return stand;
}

/** The same codec; told of every array that it is handed, before the call. */
export function watchingArrays(
  codecClass: CodecClass,
  onArray: (array: Float32Array) => void,
): CodecClass {
  return wrapped(codecClass, (context) => {
    const codec = new codecClass(context);
    return standIn(() => codec, {
      updateBlocks: (block: BlockWeight): CodecReturn => {
        onArray(block.content);
        return codec.updateBlocks(block);
      },
      receiveBlocks: (content: unknown): CodecReturn => {
        for (const array of arraysIn(content)) onArray(array);
        return codec.receiveBlocks(content);
      },
    });
  });
}

function arraysIn(content: unknown): Float32Array[] {
  if (content instanceof Float32Array) return [content];
  if (content instanceof Map) return [...content.values()].flatMap(arraysIn);
  if (Array.isArray(content)) return content.flatMap(arraysIn);
  if (typeof content !== "object" || content === null || ArrayBuffer.isView(content)) return [];
  return Object.values(content).flatMap(arraysIn);
}

/**
 * A codec that is a new instance from each step on, with what the old one exported. On a server, which is at no step,
 * from each call on, if it exports anything.
 */
export function rebornEachStep(codecClass: CodecClass): CodecClass {
  return wrapped(codecClass, (context) => {
    let codec = new codecClass(context);
    const isServer = context.nodeId < 0;
    let step = 0;
    const beBorn = (): void => {
      const state = codec.exportState();
      if (isServer && state === undefined) return;
      const old = codec;
      codec = new codecClass(context);
      if (state !== undefined) codec.importState(unpack(pack(state)));
      old.dispose();
    };
    return standIn(() => codec, {
      updateBlocks: (block: BlockWeight): CodecReturn => {
        if (block.step !== step) beBorn();
        ({ step } = block);
        return codec.updateBlocks(block);
      },
      receiveBlocks: (content: unknown): CodecReturn => {
        if (isServer) beBorn();
        return codec.receiveBlocks(content);
      },
    });
  });
}
