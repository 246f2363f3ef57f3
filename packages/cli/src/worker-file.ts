import { readFile } from "node:fs/promises";
import { PsgdError } from "@psgd/core";
import type { WorkerFile } from "@psgd/runtime";
import { nameForOthers } from "./machine-hosts.js";

/**
 * Reads a `worker.json`: `{ "PS": "192.168.1.1", "Worker": ["192.168.1.2", "192.168.1.3"] }`, machines by address or
 * by worker name. `localhost` is the machine that the file is read on.
 *
 * @param isRequired - whether the user named the file; otherwise one that is absent means "take who is idle"
 * @throws {PsgdError} SETTINGS_INVALID
 */
export async function readWorkerFile(
  path: string,
  isRequired: boolean,
): Promise<WorkerFile | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    if (!isRequired && (cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new PsgdError(
      "SETTINGS_INVALID",
      `${path}: expected a file that can be read, got ${(cause as Error).message}; see jobs/worker.example.json`,
      { cause },
    );
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new PsgdError(
      "SETTINGS_INVALID",
      `${path}: expected JSON, got ${(cause as Error).message}; see jobs/worker.example.json`,
      { cause },
    );
  }
  const faults = faultsOf(value);
  if (faults.length > 0)
    throw new PsgdError(
      "SETTINGS_INVALID",
      `${path}: ${faults.join("; ")}; see jobs/worker.example.json`,
    );
  const { PS, Worker } = value as { PS?: string; Worker: string[] };
  return {
    PS: PS === undefined ? undefined : nameForOthers(PS),
    Worker: Worker.map(nameForOthers),
  };
}

function faultsOf(value: unknown): string[] {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return [`expected an object with \`PS\` and \`Worker\`, got ${JSON.stringify(value)}`];
  const { PS, Worker, ...rest } = value as Record<string, unknown>;
  const faults: string[] = [];
  if (PS !== undefined && typeof PS !== "string")
    faults.push(`\`PS\`: expected an address or a worker's name, got ${JSON.stringify(PS)}`);
  if (
    !Array.isArray(Worker) ||
    Worker.length === 0 ||
    !Worker.every((entry) => typeof entry === "string")
  ) {
    faults.push(
      `\`Worker\`: expected a list of addresses or workers' names, got ${JSON.stringify(Worker)}`,
    );
  }
  for (const key of Object.keys(rest))
    faults.push(`\`${key}\`: expected only \`PS\` and \`Worker\``);
  return faults;
}
