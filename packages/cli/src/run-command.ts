import { errorCode, toErrorRecord } from "@psgd/core";
import { EXIT_CODES, exitCodeOf } from "./exit-codes.js";

/**
 * Runs a command and really exits with its code: native threads or open sockets do not keep the process alive. An
 * error is said once, as JSON where the output is JSON.
 */
export async function runCommand(command: () => Promise<number>, isJson: boolean): Promise<never> {
  // Who reads us (`| head`) may have read enough: then nothing is said any more, but what was begun is finished.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  let code: number;
  try {
    code = await command();
  } catch (error) {
    const record = toErrorRecord(error);
    code = exitCodeOf(errorCode(error));
    if (isJson)
      process.stdout.write(
        `${JSON.stringify({ type: "error", code: record.code, message: record.message, exitCode: code })}\n`,
      );
    else process.stderr.write(`${record.message}\n`);
    if (code === EXIT_CODES.bug)
      process.stderr.write(`${record.stack ?? ""}\nThis is a bug of parallel-sgd.\n`);
  }
  await flushOutput();
  process.exit(code);
}

/** What was written must be out before the process, or the thread, goes. */
export async function flushOutput(): Promise<void> {
  await Promise.all(
    [process.stdout, process.stderr].map(
      (stream) => new Promise((resolve) => stream.write("", resolve)),
    ),
  );
}
