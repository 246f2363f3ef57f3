/*
 * The hot loops of the compressors, in AssemblyScript with 128-bit vectors: see `../kernels.ts` for the memory they share.
 * Counts are padded with zeros to whole groups of 16 values.
 */
export * from "./memory";
export * from "./halves";
export * from "./norms";
export * from "./levels";
export * from "./signs";
export * from "./candidates";
