import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** A directory of a test's own, gone with it. */
export interface WorkDirectory extends AsyncDisposable {
  readonly path: string;
  /** Writes a file. @returns its path */
  write(name: string, content: string): Promise<string>;
}

export async function workDirectory(
  files: Readonly<Record<string, string>> = {},
): Promise<WorkDirectory> {
  const path = await realpath(await mkdtemp(join(tmpdir(), "psgd-test-")));
  const write = async (name: string, content: string): Promise<string> => {
    const file = join(path, name);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, content);
    return file;
  };
  for (const [name, content] of Object.entries(files)) await write(name, content);
  return {
    path,
    write,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

/** Source of a codec that keeps to itself. */
export function codecSource(
  name: string,
  { server, carries = "gradients" }: { server?: string; carries?: string } = {},
): string {
  return `
    export class ${name} extends Codec {
      static carries = "${carries}";
      ${server === undefined ? "" : `static server = ${server};`}
      updateBlocks(block) { this.setResult(block.content); }
    }`;
}

export const CODEC_IMPORT = `import { Codec } from "@psgd/core";\n`;
