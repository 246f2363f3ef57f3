import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { PsgdError } from "@psgd/core";
import type { StartPlanProcess } from "@psgd/runtime";

const ENTRY = fileURLToPath(new URL("./plan-process.js", import.meta.url));

/** Starts the process that runs the plans of a worker's callers. */
export function planProcessStarter(natsUrl: string): StartPlanProcess {
  return (address, onExit) => {
    const child = spawn(process.execPath, [ENTRY, natsUrl, address], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    // It may end before it has read the end of its input.
    child.stdin.on("error", () => {});
    let end: string | undefined;
    const ready = new Promise<void>((resolve, reject) => {
      child.stdout.once("data", () => resolve());
      const ended = (reason: string): void => {
        if (end !== undefined) return;
        end = reason;
        reject(
          new PsgdError(
            "WORKER_LOST",
            `plans: expected a process that runs them, got none: ${reason}; look at the worker's log`,
          ),
        );
        onExit(reason);
      };
      child.once("error", (error) => ended(`it could not be started: ${error.message}`));
      child.once("close", (code, signal) => {
        ended(signal === null ? `it exited with code ${code}` : `it was killed by ${signal}`);
      });
    });
    // Whoever waits hears of it; nobody may.
    ready.catch(() => {});
    const stop = (): void => {
      child.stdin.end();
      child.kill("SIGKILL");
    };
    return { ready, stop };
  };
}
