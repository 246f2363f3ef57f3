import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { toErrorRecord } from "@psgd/core";
import type { NodeAssignment } from "../job.js";
import type { NodeEvent } from "../node/node-world.js";
import { processNodeHost } from "./process-node-host.js";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "psgd-host-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const assignment = { jobId: "j", nodeId: 3 } as NodeAssignment;

let programCount = 0;

/** Runs a program as a node; `act` gets its handle when it has said `ready`. */
async function run(
  program: string,
  act: (handle: ReturnType<ReturnType<typeof processNodeHost>["start"]>) => void = () => {},
): Promise<{ events: NodeEvent[]; reason: string }> {
  const entry = join(directory, `${programCount++}.mjs`);
  await writeFile(
    entry,
    `import { createInterface } from "node:readline";
     import { writeSync } from "node:fs";
     const emit = (value) => writeSync(3, JSON.stringify(value) + "\\n");
     const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
     const next = async () => { const { value, done } = await lines.next(); return done ? undefined : JSON.parse(value); };
     ${program}`,
  );
  const host = processNodeHost({ entry, config: { answer: 42 } });
  const events: NodeEvent[] = [];
  const reason = await new Promise<string>((resolve) => {
    const handle = host.start(assignment, {
      onEvent: (event) => {
        events.push(event);
        if (event.type === "ready") act(handle);
      },
      onExit: resolve,
    });
  });
  await host.close();
  return { events, reason };
}

const texts = (events: readonly NodeEvent[]): string[] =>
  events.flatMap((event) => (event.type === "log" ? [event.line] : []));

describe("a node's process", () => {
  it("gets its assignment, then commands, and its events come back in order", async () => {
    const { events, reason } = await run(
      `const spec = await next();
       console.log(spec.assignment.nodeId, spec.config.answer);
       emit({ type: "ready" });
       const command = await next();
       emit({ type: "failed", error: { message: command.type } });
       process.exit(0);`,
      (handle) => handle.send({ type: "start" }),
    );
    expect(events.filter(({ type }) => type !== "log")).toEqual([
      { type: "ready" },
      { type: "failed", error: { message: "start" } },
    ]);
    expect(texts(events)).toEqual(["3 42"]);
    expect(reason).toBe("its process exited with code 0");
  });

  it("is seen to exit with a code, and what it wrote before is not lost", async () => {
    const { events, reason } = await run(
      `process.stderr.write("last words"); process.exitCode = 7; process.stdin.destroy();`,
    );
    expect(texts(events)).toEqual(["last words"]);
    expect(reason).toBe("its process exited with code 7");
  });

  it("can be killed while it loops for ever", async () => {
    const { reason } = await run(`emit({ type: "ready" }); for (;;) {}`, (handle) => handle.kill());
    expect(reason).toBe("its process was killed by SIGKILL");
  });

  it("sees the end of its input as the end of its daemon", async () => {
    const { events } = await run(
      `await next(); emit({ type: "ready" });
       const command = await next();
       console.log(command.error.message);
       process.exit(0);`,
      (handle) => handle.send({ type: "stop", error: toErrorRecord(new Error("enough")) }),
    );
    expect(texts(events)).toEqual(["enough"]);
  });

  it.each([
    ["no JSON", `"hello"`, "it wrote something that is no event: hello"],
    ["no event", `'{"type":"reboot"}'`, 'it wrote something that is no event: {"type":"reboot"}'],
    ["a line without end", `"x".repeat(2_000_000)`, "it wrote an event longer than 1048576 bytes"],
  ])("is ended when its events are %s", async (_, text, fault) => {
    const { events, reason } = await run(
      `import("node:fs").then(({ createWriteStream }) =>
         createWriteStream("", { fd: 3 }).write(${text} + "${text.startsWith('"x') ? "" : "\\n"}"));
       setInterval(() => {}, 1000);`,
    );
    expect(reason).toBe(fault);
    expect(events).toEqual([]);
  });

  it("may write a line without end as text: its beginning is kept", async () => {
    const { events } = await run(
      `process.stdin.destroy();
       process.stdout.write("a".repeat(3_000_000));
       process.stdout.write("\\nshort\\n" + "b".repeat(9_000));`,
    );
    expect(texts(events)).toEqual(["a".repeat(4096), "short", "b".repeat(4096)]);
  });

  it("that cannot be started says so", async () => {
    const { events, reason } = await run("syntax error here");
    expect(reason).toBe("its process exited with code 1");
    expect(texts(events).join("\n")).toContain("SyntaxError");
  });
});
