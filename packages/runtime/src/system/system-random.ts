import { randomBytes } from "node:crypto";
import { seededRandom, type Random } from "@psgd/core";

/** A source that differs each time: for ids and incarnations, never for anything a run depends on. */
export function systemRandom(): Random {
  return seededRandom(randomBytes(16).toString("hex"));
}
