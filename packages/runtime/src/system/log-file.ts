import { createWriteStream, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Clock, Logger } from "@psgd/core";

/** Formats lines after the seed: `INFO User Submit@16:53:29 : text`. */
export function lineLogger(title: string, clock: Clock, write: (line: string) => void): Logger {
  const line =
    (level: string) =>
    (message: string): void =>
      write(`${level} ${title}@${clock.wallTime().toTimeString().slice(0, 8)} : ${message}`);
  return { info: line("INFO"), warn: line("WARN"), error: line("ERROR") };
}

/** A log file that is added to, line by line; one that cannot be written says so once on stderr and is given up. */
export function logFile(
  directory: string,
  name: string,
): { write(line: string): void; close(): Promise<void> } {
  mkdirSync(directory, { recursive: true });
  const stream = createWriteStream(join(directory, name), { flags: "a" });
  let isBroken = false;
  stream.on("error", (error) => {
    if (!isBroken) process.stderr.write(`log file: ${error.message}\n`);
    isBroken = true;
  });
  return {
    write: (line) => {
      if (!isBroken) stream.write(`${line}\n`);
    },
    close: () => new Promise((resolve) => (isBroken ? resolve() : stream.end(resolve))),
  };
}
