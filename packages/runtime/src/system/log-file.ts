import { createWriteStream, mkdirSync, openSync, type WriteStream } from "node:fs";
import { join } from "node:path";
import { PsgdError, toErrorRecord, type Clock, type Logger } from "@psgd/core";

/** Formats lines after the seed: `INFO User Submit@16:53:29 : text`. */
export function lineLogger(title: string, clock: Clock, write: (line: string) => void): Logger {
  const line =
    (level: string) =>
    (message: string): void =>
      write(`${level} ${title}@${clock.wallTime().toTimeString().slice(0, 8)} : ${message}`);
  return { info: line("INFO"), warn: line("WARN"), error: line("ERROR") };
}

/**
 * A log file that is added to, line by line, and made for the first of them; one that breaks later says so once on
 * stderr and is given up.
 */
export function logFile(
  directory: string,
  name: string,
): {
  /** @throws {PsgdError} STORE_FAILED if the file cannot be made */
  write(line: string): void;
  close(): Promise<void>;
} {
  let stream: WriteStream | undefined;
  let isBroken = false;
  return {
    write(line) {
      stream ??= openStream(join(directory, name), directory, (error) => {
        if (!isBroken) process.stderr.write(`log file: ${error.message}\n`);
        isBroken = true;
      });
      if (!isBroken) stream.write(`${line}\n`);
    },
    close: () =>
      new Promise((resolve) => {
        if (stream === undefined || isBroken) resolve();
        else stream.end(resolve);
      }),
  };
}

function openStream(path: string, directory: string, onError: (error: Error) => void): WriteStream {
  try {
    mkdirSync(directory, { recursive: true });
    return createWriteStream(path, { fd: openSync(path, "a") }).on("error", onError);
  } catch (cause) {
    throw new PsgdError(
      "STORE_FAILED",
      `${path}: expected a log file that can be written, got ${toErrorRecord(cause).message}; name another directory`,
      { cause },
    );
  }
}
