import { existsSync } from "node:fs";
import { join } from "node:path";

/** Why a test is left out where there is none; vitest says it beside the test's name. */
export const WITHOUT_MNIST = "PSGD_DATA_DIR names no directory with mnist/ in it";

/** Whether the real MNIST lies where `PSGD_DATA_DIR` says; what needs it is left out where it does not. */
export function hasMnist(): boolean {
  const directory = process.env["PSGD_DATA_DIR"];
  return directory !== undefined && existsSync(join(directory, "mnist"));
}
