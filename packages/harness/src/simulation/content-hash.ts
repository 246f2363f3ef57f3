/** A hash of anything that can be packed; equal values have equal hashes, on every machine. */
export function contentHash(value: unknown): number {
  return mix(0x811c9dc5, value);
}

const FLOAT = new Float64Array(1);
const WORDS = new Uint32Array(FLOAT.buffer);

function mix(hash: number, value: unknown): number {
  switch (typeof value) {
    case "number":
      FLOAT[0] = value;
      return word(word(hash, WORDS[0]!), WORDS[1]!);
    case "string":
      return text(word(hash, value.length), value);
    case "object":
      return value === null ? word(hash, 1) : object(hash, value);
    case "boolean":
      return word(hash, value ? 3 : 2);
    case "undefined":
      return word(hash, 4);
    case "bigint":
      return text(hash, value.toString());
    case "symbol":
    case "function":
      // Cannot be packed, and will be refused where it is sent.
      return hash;
  }
}

function object(start: number, value: object): number {
  let hash = start;
  if (ArrayBuffer.isView(value)) {
    const { buffer, byteOffset, byteLength } = value;
    for (const byte of new Uint8Array(buffer, byteOffset, byteLength)) hash = word(hash, byte);
  } else if (Array.isArray(value)) {
    hash = word(hash, value.length);
    for (const item of value) hash = mix(hash, item);
  } else {
    const isCollection = value instanceof Map || value instanceof Set;
    const entries = isCollection ? value.entries() : Object.entries(value);
    for (const [key, item] of entries) hash = mix(mix(hash, key), item);
  }
  return hash;
}

function text(start: number, value: string): number {
  let hash = start;
  for (let i = 0; i < value.length; i++) hash = word(hash, value.charCodeAt(i));
  return hash;
}

/** FNV-1a, a word at a time. */
function word(hash: number, value: number): number {
  const mixed = Math.imul(hash ^ value, 0x01000193);
  return mixed ^ (mixed >>> 15);
}
