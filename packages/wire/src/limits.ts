/** Largest packed value, bytes. */
export const MAX_PACKED_BYTES = 2 ** 30;

/** Deepest nesting of arrays, objects, maps and sets. */
export const MAX_DEPTH = 64;

/**
 * Most values (numbers, strings, containers; a typed array counts as one) in one packed value. One byte of metadata may
 * cost the receiver sixty bytes of memory: this and the next limit bound what a hostile sender can make it allocate.
 */
export const MAX_VALUES = 2 ** 22;

/** Largest metadata, that is everything but the elements of typed arrays, bytes. */
export const MAX_METADATA_BYTES = 2 ** 26;

/** Longest bigint: far beyond any use, and still quick to read. */
export const MAX_BIGINT_DIGITS = 2 ** 20;
