import { addExtension, Packr, Unpackr } from "msgpackr";

/**
 * Stands in the metadata for a value that MessagePack has no form for. `map` and `set` are the first element of an
 * array that holds the entries; no value of the user's can be mistaken for a mark.
 */
export class Mark {
  readonly kind: MarkKind;
  readonly payload: Uint8Array;

  constructor(kind: MarkKind, payload: Uint8Array = EMPTY) {
    this.kind = kind;
    this.payload = payload;
  }
}

export type MarkKind =
  "tensor" | "map" | "set" | "date" | "bigint" | "negative-bigint" | "negative-zero";

const EMPTY = new Uint8Array(0);
/** The position is the number on the wire, so the order never changes. */
const KINDS: readonly MarkKind[] = [
  "tensor",
  "map",
  "set",
  "date",
  "bigint",
  "negative-bigint",
  "negative-zero",
];

/** MessagePack's extension type of a mark. */
export const MARK_EXTENSION = 1;

addExtension({
  Class: Mark,
  type: MARK_EXTENSION,
  pack: (mark: Mark) => {
    const bytes = Buffer.alloc(1 + mark.payload.length);
    bytes[0] = KINDS.indexOf(mark.kind);
    bytes.set(mark.payload, 1);
    return bytes;
  },
  unpack: (bytes: Uint8Array) => {
    const kind = KINDS[bytes[0] ?? -1];
    if (kind === undefined) throw new Error(`mark kind ${String(bytes[0])} is unknown`);
    // A copy, since msgpackr may hand over its own buffer.
    return new Mark(kind, Uint8Array.from(bytes.subarray(1)));
  },
});

const OPTIONS = { useRecords: false, mapsAsObjects: true, variableMapSize: true } as const;

/** Without `toJSON`, which would let a field of that name replace its object. */
export const packr = new Packr({ ...OPTIONS, useToJSON: false });
export const unpackr = new Unpackr(OPTIONS);
