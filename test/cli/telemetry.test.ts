import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startCli } from "../support/processes.js";

test.for([
  ["psgd", "doctor", "--nats", "nats://127.0.0.1:1"],
  ["job-submit", "--local", "--node-count", "2", "--dataset", "digits", "--steps", "2"],
] as const)("%s leaves no trace of the engine's telemetry", async ([command, ...args]) => {
  const home = await mkdtemp(join(tmpdir(), "psgd-telemetry-"));
  const temporary = join(home, "tmp");
  await mkdir(temporary);
  try {
    await using process = startCli(command, args, {
      cwd: home,
      env: { TMPDIR: temporary, XDG_CACHE_HOME: join(home, "cache") },
    });
    expect((await process.exit()).code, process.output).toBe(0);
    // Where it is on, it begins with a log and a session's identity here.
    const names = await readdir(temporary);
    expect(names.filter((name) => /mat-debug|\.ses$/.test(name))).toEqual([]);
  } finally {
    await rm(home, { recursive: true, force: true });
  }
});
