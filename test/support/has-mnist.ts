import { existsSync } from "node:fs";
import { join } from "node:path";

/** Whether the real MNIST lies where `PSGD_DATA_DIR` says; what needs it is left out where it does not. */
export function hasMnist(): boolean {
  const directory = process.env["PSGD_DATA_DIR"];
  return directory !== undefined && existsSync(join(directory, "mnist"));
}
