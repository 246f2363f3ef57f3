/** Values of one chunk, and where it lies; then norms, codes and positions. */
export const CHUNK: i32 = 16384;
export const VALUES: usize = 65536;
export const NORMS: usize = VALUES + 4 * 16384;
export const CODES: usize = NORMS + 4 * 1024;
export const POSITIONS: usize = CODES + 2 * 16384;
