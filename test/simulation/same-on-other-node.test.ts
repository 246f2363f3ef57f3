import { join } from "node:path";
import { expect, it } from "vitest";
import { PROJECT_ROOT } from "../support/project-root.js";
import { startShell } from "../support/processes.js";

/** Path of another Node.js, say of version 24: `npx -y -p node@24 which node` tells where it is. */
const OTHER_NODE = process.env["OTHER_NODE"];

it("does the same, byte for byte, on another version of Node.js", async ({ skip }) => {
  if (OTHER_NODE === undefined) return skip("OTHER_NODE names no other Node.js");
  const traceOf = async (node: string): Promise<string | undefined> => {
    const psgd = join(PROJECT_ROOT, "packages/cli/bin/psgd.js");
    const command = `"${node}" "${psgd}" codec simulate plain --promise mean --seeds 1000`;
    await using run = startShell(command);
    expect((await run.exit(60_000)).code, run.output).toBe(0);
    return /trace ([0-9a-f]{16})\n/.exec(run.stdout)?.[1];
  };
  const here = await traceOf(process.execPath);
  expect(here).toBeDefined();
  expect(await traceOf(OTHER_NODE)).toBe(here);
});
