import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Clock } from "@psgd/core";
import { lineLogger, logFile } from "./log-file.js";

let parent: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "psgd-log-"));
});
afterEach(() => rm(parent, { recursive: true, force: true }));

describe("lineLogger", () => {
  it("writes level, title and time of day as the original does", () => {
    const lines: string[] = [];
    const clock = { wallTime: () => new Date(2022, 1, 3, 16, 53, 29) } as unknown as Clock;
    const log = lineLogger("User Submit", clock, (line) => lines.push(line));
    log.info("a");
    log.warn("b");
    log.error("c");
    expect(lines).toEqual([
      "INFO User Submit@16:53:29 : a",
      "WARN User Submit@16:53:29 : b",
      "ERROR User Submit@16:53:29 : c",
    ]);
  });
});

describe("logFile", () => {
  it("adds to the file that is there, line by line", async () => {
    const directory = join(parent, "logs", "deep");
    for (const line of ["one", "two"]) {
      const file = logFile(directory, "a.log");
      file.write(line);
      await file.close();
    }
    expect(await readFile(join(directory, "a.log"), "utf8")).toBe("one\ntwo\n");
  });

  it("makes nothing before the first line", async () => {
    const file = logFile(join(parent, "logs"), "a.log");
    await file.close();
    expect(await readdir(parent)).toEqual([]);
  });

  it("says at the first line that the file cannot be made", async () => {
    await writeFile(join(parent, "in-the-way"), "");
    const file = logFile(join(parent, "in-the-way"), "a.log");
    expect(() => file.write("x")).toThrow(
      /^STORE_FAILED: .*a\.log: expected a log file that can be written, got E/,
    );
    await file.close();
  });
});
