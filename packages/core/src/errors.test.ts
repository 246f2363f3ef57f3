import { readFileSync } from "node:fs";
import { describe, expect, expectTypeOf, it } from "vitest";
import {
  ERROR_CODES,
  PsgdError,
  errorCode,
  fromErrorRecord,
  invariant,
  isPsgdError,
  toErrorRecord,
  type ErrorCode,
} from "./errors.js";

describe("PsgdError", () => {
  it("starts its message with the code, and keeps details and cause", () => {
    const cause = new Error("disk full");
    const error = new PsgdError("STORE_FAILED", "key `a`: expected a file", {
      details: { key: "a" },
      cause,
    });
    expect(error).toBeInstanceOf(Error);
    expect(error.message).toBe("STORE_FAILED: key `a`: expected a file");
    expect(error.name).toBe("PsgdError");
    expect(error.details).toEqual({ key: "a" });
    expect(error.cause).toBe(cause);
  });

  it("has no cause unless it is given one, which may be undefined", () => {
    expect("cause" in new PsgdError("NODE_LOST", "node 1")).toBe(false);
    expect("cause" in new PsgdError("NODE_LOST", "node 1", { cause: undefined })).toBe(true);
  });
});

describe("recognising an error", () => {
  it("works by code, of which none is taken for another", () => {
    const error = new PsgdError("SYNC_TIMEOUT", "node 2 waited");
    expect(isPsgdError(error)).toBe(true);
    expect(isPsgdError(error, "SYNC_TIMEOUT")).toBe(true);
    expect(isPsgdError(error, "COMMIT_TIMEOUT")).toBe(false);
    expectTypeOf<Extract<ErrorCode, "SYNC_TIMEOUT">>().toEqualTypeOf<"SYNC_TIMEOUT">();
  });

  it("works for an error that lost its fields on the way through a thread", () => {
    const cloned: unknown = structuredClone(new PsgdError("NODE_LOST", "node 3: gone"));
    expect(cloned).not.toBeInstanceOf(PsgdError);
    expect(errorCode(cloned)).toBe("NODE_LOST");
  });

  it.each([
    undefined,
    null,
    "SYNC_TIMEOUT: a text is no error",
    new Error("ENOENT: no such file"),
    new Error("see SYNC_TIMEOUT: not at the start"),
    Object.assign(new Error("x"), { code: "ENOENT" }),
    Object.assign(new Error("x"), { code: "constructor" }),
    { message: 5 },
  ])("does not take %o for ours", (other) => {
    expect(isPsgdError(other)).toBe(false);
  });
});

describe("an error as plain data", () => {
  it("comes back with code, text, stack and details", () => {
    const error = new PsgdError("OUT_OF_STEP", "node 2 is at step 3", { details: { step: 3 } });
    const back = fromErrorRecord(structuredClone(toErrorRecord(error)));
    expect(back).toBeInstanceOf(PsgdError);
    expect(back.code).toBe("OUT_OF_STEP");
    expect(back.message).toBe(error.message);
    expect(back.stack).toBe(error.stack);
    expect(back.details).toEqual({ step: 3 });
  });

  it("gets the fallback's code if it has none of ours", () => {
    const back = fromErrorRecord(
      toErrorRecord(new TypeError("x is not a function")),
      "CODEC_THREW",
    );
    expect(back.code).toBe("CODEC_THREW");
    expect(back.message).toBe("CODEC_THREW: x is not a function");
    expect(fromErrorRecord(toErrorRecord(new Error("x"))).code).toBe("JOB_FAILED");
  });

  it.each([
    ["a text", "a text"],
    [42, "42"],
    [null, "null"],
    [undefined, "undefined"],
    [{}, "an object without a message was thrown"],
  ])("can be made of anything that is thrown: %o", (thrown, message) => {
    expect(toErrorRecord(thrown)).toEqual({
      code: undefined,
      message,
      stack: undefined,
      details: {},
    });
  });
});

describe("invariant", () => {
  it("blames ourselves", () => {
    expect(() => invariant(false, "step went backwards")).toThrow("bug: step went backwards");
    expect(() => invariant(true, "never")).not.toThrow();
  });
});

describe("the README of core", () => {
  it("lists every error code with its meaning, in order, and no other", () => {
    const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
    const rows = [...readme.matchAll(/^\| `([A-Z_]+)` +\| (.+?) +\|$/gm)].map(
      ([, code, meaning]) => [code, meaning],
    );
    expect(rows).toEqual(Object.entries(ERROR_CODES));
  });
});
