import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Runs a built entry point, or says that the build is missing. */
export async function start(entry) {
  if (!existsSync(fileURLToPath(entry))) {
    process.stderr.write(
      `The project is not built: ${entry.pathname} is missing; run \`npm run build\`\n`,
    );
    process.exit(2);
  }
  await import(entry.href);
}
