import { requireBytes, type Quantizer } from "./compressor.js";
import { eachChunk, kernels, load, memory } from "./kernels.js";

/**
 * IEEE 754 binary16: 11 significant bits, magnitudes from 6e-8 to 65504; rounded to nearest, ties to even. Larger ones
 * become 65504 and not infinity, so that one large value does not end a job. 2d bytes.
 */
export function fp16(): Quantizer {
  return halves("fp16", kernels.toHalves, kernels.fromHalves);
}

/** bfloat16: 8 significant bits and the range of single precision; to nearest, ties to even. 2d bytes. */
export function bf16(): Quantizer {
  return halves("bf16", kernels.toUpperHalves, kernels.fromUpperHalves);
}

function halves(
  name: string,
  encode: (count: number) => void,
  decode: (count: number) => void,
): Quantizer {
  return {
    kind: "quantizer",
    name,
    encode(values) {
      const bytes = new Uint8Array(2 * values.length);
      eachChunk(0, values.length, (start, end) => {
        load(values, start, end);
        encode(end - start);
        bytes.set(memory.codes.subarray(0, 2 * (end - start)), 2 * start);
      });
      return bytes;
    },
    decode(bytes, _segments, values) {
      requireBytes(bytes, 2 * values.length, name);
      eachChunk(0, values.length, (start, end) => {
        memory.codes.set(bytes.subarray(2 * start, 2 * end));
        decode(end - start);
        values.set(memory.values.subarray(0, end - start), start);
      });
    },
  };
}
