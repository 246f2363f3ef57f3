import { PsgdError } from "@psgd/core";

/** @throws {PsgdError} SETTINGS_INVALID unless a parameter is one of some words */
export function requireOneOf<Word extends string>(
  words: readonly Word[],
  value: string,
  name: string,
): Word {
  const found = words.find((word) => word === value);
  if (found !== undefined) return found;
  throw wrong(name, words.map((word) => `"${word}"`).join(" or "), `"${value}"`, words[0]);
}

/** @throws {PsgdError} SETTINGS_INVALID unless a parameter is a finite number from some bound on */
export function requireAtLeast(bound: number, value: number, name: string): number {
  if (Number.isFinite(value) && value >= bound) return value;
  throw wrong(name, `a number from ${bound}`, String(value), String(bound));
}

/**
 * Of a momentum, or another part of the past that is kept.
 * @throws {PsgdError} SETTINGS_INVALID unless a parameter is a number from 0, below 1
 */
export function requireBelowOne(value: number, name: string): number {
  if (value >= 0 && value < 1) return value;
  throw wrong(name, "a number from 0, below 1", String(value), "0.9");
}

/**
 * Of how much is taken of something.
 * @throws {PsgdError} SETTINGS_INVALID unless a parameter is a number above 0, at most 1
 */
export function requireShare(value: number, name: string): number {
  if (value > 0 && value <= 1) return value;
  throw wrong(name, "a number above 0, at most 1", String(value), "0.5");
}

/** @throws {PsgdError} SETTINGS_INVALID unless a parameter is a whole number from some bound on */
export function requireWhole(bound: number, value: number, name: string): number {
  if (Number.isSafeInteger(value) && value >= bound) return value;
  throw wrong(name, `a whole number from ${bound}`, String(value), String(bound));
}

/** @throws {PsgdError} SETTINGS_INVALID unless a parameter is a whole number between two bounds, which are in it */
export function requireWholeBetween(
  low: number,
  high: number,
  value: number,
  name: string,
): number {
  if (Number.isSafeInteger(value) && value >= low && value <= high) return value;
  throw wrong(name, `a whole number from ${low} to ${high}`, String(value), String(high));
}

function wrong(name: string, expected: string, got: string, example: string): PsgdError {
  return new PsgdError(
    "SETTINGS_INVALID",
    `parameter \`${name}\`: expected ${expected}, got ${got}; set it with \`--param ${name}=${example}\``,
  );
}
