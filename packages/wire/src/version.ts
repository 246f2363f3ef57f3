/** Version of everything that travels: packed values and link frames. Two sides must have the same. */
export const WIRE_VERSION = 1;
