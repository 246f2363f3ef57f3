import { requireBytes, type Quantizer } from "./compressor.js";

/** Every value as it is: what follows a sparsifier if nothing else does. 4d bytes. */
export function float32(): Quantizer {
  const name = "float32";
  return {
    kind: "quantizer",
    name,
    encode: (values) => new Uint8Array(Float32Array.from(values).buffer),
    decode(bytes, _segments, values) {
      requireBytes(bytes, 4 * values.length, name);
      new Uint8Array(values.buffer, values.byteOffset, values.byteLength).set(bytes);
    },
  };
}
