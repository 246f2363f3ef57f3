/** The kinds of raw data; the position is the number on the wire, so the order never changes. */
const TENSOR_TYPES = [
  ArrayBuffer,
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
] as const;

const KIND_OF_TAG = new Map<string, number>(TENSOR_TYPES.map((type, kind) => [type.name, kind]));

/** The tag of a typed array without asking its class, so that it holds for other realms and for subclasses. */
const tagDescriptor = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype) as object,
  Symbol.toStringTag,
)!;

/** The kind of a typed array, or undefined for a `DataView` and kinds that have no number (yet). */
export function kindOfTypedArray(view: ArrayBufferView): number | undefined {
  const tag = tagDescriptor.get!.call(view) as string | undefined;
  return tag === undefined ? undefined : KIND_OF_TAG.get(tag);
}

/** Kind of an `ArrayBuffer`. */
export const ARRAY_BUFFER_KIND = 0;

/** Number of kinds. */
export const TENSOR_KIND_COUNT = TENSOR_TYPES.length;

/** Bytes of one element. */
export function elementBytes(kind: number): number {
  const type = TENSOR_TYPES[kind]!;
  return type === ArrayBuffer ? 1 : (type as typeof Uint8Array).BYTES_PER_ELEMENT;
}

/** A view of the kind on the buffer; an `ArrayBuffer` cannot be a view and is cut out, which copies. */
export function viewOf(
  kind: number,
  buffer: ArrayBuffer,
  byteOffset: number,
  byteLength: number,
): ArrayBuffer | ArrayBufferView {
  const type = TENSOR_TYPES[kind]!;
  if (type === ArrayBuffer) return buffer.slice(byteOffset, byteOffset + byteLength);
  const TypedArray = type as typeof Uint8Array;
  return new TypedArray(buffer, byteOffset, byteLength / TypedArray.BYTES_PER_ELEMENT);
}
