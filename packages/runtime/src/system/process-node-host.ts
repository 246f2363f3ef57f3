import { spawn, type ChildProcess } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import type { NodeAssignment } from "../job.js";
import type { NodeCommand, NodeEvent } from "../node/node-world.js";
import type { NodeHandle, NodeHost, NodeObserver } from "../node-host.js";

/** The first line a node process reads: what it is to run, and how it reaches the world. */
export interface NodeProcessSpec<Config> {
  readonly assignment: NodeAssignment;
  readonly config: Config;
}

export interface ProcessNodeHostOptions<Config> {
  /** Path of the program to run; it reads its spec and commands from stdin and writes events to descriptor 3. */
  readonly entry: string;
  readonly config: Config;
}

/** Longest event line; a codec that floods the pipe must not fill the daemon's memory. */
const MAX_LINE_BYTES = 1024 * 1024;

/**
 * A step makes vectors of the model's size and drops them. By default the C library gives memory of that size back to
 * the kernel each time, which then clears the same pages anew: a third of what a step costs beyond its arithmetic.
 * Source: glibc manual, "Memory Allocation Tunables"; other libraries take no notice.
 */
const KEEP_MEMORY = {
  MALLOC_MMAP_THRESHOLD_: String(2 ** 30),
  MALLOC_TRIM_THRESHOLD_: String(2 ** 31),
  MALLOC_TOP_PAD_: String(2 ** 26),
};

/**
 * Vectors outside the heap make V8 mark the whole heap every few dozen steps, although its small collections free them
 * just as well: without that, steps are a sixth faster.
 */
const NODE_OPTIONS = ["--enable-source-maps", "--no-incremental-marking"];

/** What a line of text has beyond this is left out. */
const MAX_TEXT_LENGTH = 4096;

/**
 * Runs each node in a process of its own: a codec that hangs, crashes or eats memory takes only its node with it.
 *
 * The lines between are plain pipes, one JSON value a line, because Node's own channel lets a child crash its parent.
 * A process whose daemon dies reads the end of its stdin and ends too.
 */
export function processNodeHost<Config>(options: ProcessNodeHostOptions<Config>): NodeHost {
  const running = new Set<ChildProcess>();
  return {
    start(assignment: NodeAssignment, observer: NodeObserver): NodeHandle {
      const child = spawn(process.execPath, [...NODE_OPTIONS, options.entry], {
        stdio: ["pipe", "pipe", "pipe", "pipe"],
        env: { ...process.env, ...KEEP_MEMORY },
        // A session of its own: signals meant for the daemon's terminal or group do not reach it, nor its the daemon.
        detached: true,
      });
      running.add(child);
      const [stdin, stdout, stderr, events] = child.stdio as unknown as [
        Writable,
        Readable,
        Readable,
        Readable,
      ];
      const write = (value: unknown): void => {
        if (stdin.writable) stdin.write(`${JSON.stringify(value)}\n`);
      };
      const kill = (): void => {
        if (child.exitCode === null && child.signalCode === null) killGroup(child);
      };
      // The child may end before it has read everything.
      stdin.on("error", () => {});
      write({ assignment, config: options.config } satisfies NodeProcessSpec<Config>);
      for (const stream of [stdout, stderr])
        readText(stream, (line) => observer.onEvent({ type: "log", line }));
      let violation: string | undefined;
      readEvents(events, observer, (fault) => {
        violation = fault;
        kill();
      });
      let spawnError: string | undefined;
      child.on("error", (error) => {
        spawnError = `its process could not be started: ${error.message}`;
        if (child.pid === undefined) finish(spawnError);
      });
      const finish = (reason: string): void => {
        if (running.delete(child)) observer.onExit(reason);
      };
      // "close", not "exit": everything it wrote before it ended has been read then.
      child.on("close", (code, signal) => {
        finish(
          violation ??
            spawnError ??
            (signal === null
              ? `its process exited with code ${code}`
              : `its process was killed by ${signal}`),
        );
      });
      return { send: (command: NodeCommand) => write(command), kill };
    },

    async close(): Promise<void> {
      await Promise.all(
        [...running].map(
          (child) =>
            new Promise<void>((resolve) => {
              child.once("close", () => resolve());
              killGroup(child);
            }),
        ),
      );
    },
  };
}

function readText(stream: Readable, onLine: (line: string) => void): void {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("error", () => {});
  stream.on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = (lines.pop() ?? "").slice(0, MAX_TEXT_LENGTH);
    for (const line of lines) onLine(line.slice(0, MAX_TEXT_LENGTH));
  });
  stream.on("end", () => {
    if (rest !== "") onLine(rest);
  });
}

function readEvents(
  stream: Readable,
  observer: NodeObserver,
  onViolation: (fault: string) => void,
): void {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("error", () => {});
  stream.on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > MAX_LINE_BYTES)
      onViolation(`it wrote an event longer than ${MAX_LINE_BYTES} bytes`);
    for (const line of lines) {
      const event = parseEvent(line);
      if (event === undefined)
        onViolation(`it wrote something that is no event: ${line.slice(0, 80)}`);
      else observer.onEvent(event);
    }
  });
}

const EVENT_TYPES: readonly unknown[] = [
  "ready",
  "log",
  "progress",
  "finished",
  "failed",
  "dying",
] satisfies NodeEvent["type"][];

function parseEvent(line: string): NodeEvent | undefined {
  try {
    const value: unknown = JSON.parse(line);
    if (
      typeof value === "object" &&
      value !== null &&
      "type" in value &&
      EVENT_TYPES.includes(value.type)
    )
      return value as NodeEvent;
  } catch {
    // Not JSON: reported by the caller, with the line.
  }
  return undefined;
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // It has ended already.
  }
}
