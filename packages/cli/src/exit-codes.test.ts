import { ERROR_CODES, type ErrorCode } from "@psgd/core";
import { describe, expect, it } from "vitest";
import { EXIT_CODES, exitCodeOf } from "./exit-codes.js";

describe("exit codes", () => {
  it("are as the house style lists them, and no two alike", () => {
    expect(EXIT_CODES).toMatchObject({
      done: 0,
      usage: 2,
      unreachable: 10,
      rejected: 11,
      nodeLost: 12,
      codecFailed: 13,
      timeout: 14,
      bug: 20,
      interrupted: 130,
    });
    expect(new Set(Object.values(EXIT_CODES)).size).toBe(Object.keys(EXIT_CODES).length);
  });

  it.each(Object.keys(ERROR_CODES) as ErrorCode[])("%s has one, and it is a failure", (code) => {
    expect(Object.values(EXIT_CODES)).toContain(exitCodeOf(code));
    expect(exitCodeOf(code)).not.toBe(0);
  });

  it.each<[ErrorCode, number]>([
    ["SETTINGS_INVALID", 2],
    ["CLUSTER_UNREACHABLE", 10],
    ["COMMIT_REJECTED", 11],
    ["WIRE_VERSION", 11],
    ["NODE_LOST", 12],
    ["CODEC_THREW", 13],
    ["SYNC_TIMEOUT", 14],
    ["COMMIT_TIMEOUT", 14],
  ])("%s is %i", (code, exitCode) => {
    expect(exitCodeOf(code)).toBe(exitCode);
  });

  it("what has no code of ours is a bug", () => {
    expect(exitCodeOf(undefined)).toBe(20);
  });
});
