export { WIRE_VERSION } from "./version.js";
export { MAX_PACKED_BYTES } from "./limits.js";
export { pack, Packing, uninitialized } from "./packing.js";
export { unpack } from "./unpack.js";
