import { access, constants, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { Argv } from "yargs";
import { PsgdError } from "@psgd/core";
import type { CodecExamination, Finding, ReportedExamination } from "@psgd/harness";
import { SYNC_POLICIES, type SyncPolicyName } from "@psgd/sgd";
import { pairCodecs } from "../choose-codecs.js";
import { EXIT_CODES, exitCodeOf } from "../exit-codes.js";
import { parametersOf, withUnderscores } from "../job-options.js";
import { table } from "../table.js";

type Arguments = Readonly<Record<string, unknown>>;

/** Options that `codec test` and `codec simulate` share. */
export function withCodecOptions(parser: Argv): Argv {
  return parser
    .positional("codec", {
      type: "string",
      demandOption: true,
      describe: "FILE.CLASS: a file of codecs/, or any path",
    })
    .option(
      "server-codec",
      withUnderscores("server-codec", {
        type: "string",
        describe: "codec of the parameter server; by default the one that the codec declares",
      }),
    )
    .option("param", {
      type: "string",
      array: true,
      default: [],
      defaultDescription: "none",
      requiresArg: true,
      describe: "parameter for the codec, NAME=VALUE; may be given more than once",
    })
    .option("redundancy", {
      alias: "r",
      type: "number",
      default: 1,
      describe: "nodes that compute the same block",
    })
    .option("json", {
      type: "boolean",
      default: false,
      describe: "print one JSON value, for programs",
    });
}

export function withCodecTestArguments(parser: Argv): Argv {
  return withCodecOptions(parser)
    .option("sync", {
      type: "string",
      choices: ["both", ...Object.keys(SYNC_POLICIES)],
      default: "both",
      describe: "synchronous, asynchronous, or one after the other; with both, ssgd decides",
    })
    .option(
      "node-count",
      withUnderscores("node-count", { alias: "n", type: "number", default: 3, describe: "nodes" }),
    )
    .option("seed", {
      type: "number",
      default: 1,
      describe: "inputs and orders follow from it",
    })
    .option("seeds", {
      type: "number",
      default: 500,
      describe: "seeds in the simulated cluster, each with other faults",
    })
    .option(
      "codec-timeout",
      withUnderscores("codec-timeout", {
        type: "number",
        default: 5,
        describe: "seconds one call of the codec may take",
      }),
    )
    .option("page", {
      type: "string",
      describe:
        "also write what was found as an HTML page with plots, to a new file; without a name to CODEC-conformance.html",
    })
    .example("psgd codec test topk --page", "with accuracy against bytes, on `digits`")
    .example("psgd codec test codecs/mine.ts", "what it does right and wrong, with numbers")
    .example("psgd codec test fedavg --sync ssgd -n 4", "synchronous only, four nodes");
}

/** Examines a codec and prints what was found. @returns the exit code: 13 if something is wrong */
export async function runCodecExamination(args: Arguments): Promise<number> {
  // Errors name the lines of the codec's own file, which was bundled.
  process.setSourceMapsEnabled(true);
  const faults: string[] = [];
  const whole = (name: string): number => {
    const value = args[name];
    if (!Number.isSafeInteger(value) || (value as number) < 1)
      faults.push(`\`--${name}\`: expected a whole number from 1, got ${String(value)}`);
    return value as number;
  };
  const options = {
    nodeCount: whole("node-count"),
    redundancy: whole("redundancy"),
    seed: whole("seed"),
    seedCount: whole("seeds"),
    callTimeoutMs: callTimeoutMsOf(args, faults),
    parameters: parametersOf(args["param"] as readonly string[], faults),
  };
  throwFaults(faults);
  const { codec, server } = await pairCodecs(args["codec"] as string, {
    serverCodec: args["server-codec"] as string | undefined,
    optimizer: undefined,
  });
  const examination = {
    ...options,
    codec: codec.codecClass,
    ...(server === undefined ? {} : { serverCodec: server.codecClass }),
  };
  const asked = args["sync"] as SyncPolicyName | "both";
  const modes: readonly SyncPolicyName[] = asked === "both" ? ["ssgd", "asgd"] : [asked];
  const page = await pageOf(args["page"] as string | undefined, codec.name);
  const reports: ReportedExamination[] = [];
  for (const sync of modes) {
    const findings = await examine({ ...examination, sync });
    reports.push({ sync, findings });
    if (args["json"] !== true) tell(codec.name, sync, findings, commandOf(args));
  }
  if (page !== undefined) {
    const { reportPage } = await import("@psgd/harness");
    await writeFile(page, reportPage(codec.name, reports), { flag: "wx" });
    if (args["json"] !== true) process.stdout.write(`Page: ${page}\n`);
  }
  if (args["json"] === true)
    process.stdout.write(`${JSON.stringify({ codec: codec.name, reports })}\n`);
  const isWrong = reports[0]!.findings.some(({ verdict }) => verdict === "wrong");
  return isWrong ? exitCodeOf("CODEC_WRONG_RESULT") : EXIT_CODES.done;
}

/** `--codec-timeout`, which commands for codecs share. */
export function callTimeoutMsOf(args: Arguments, faults: string[]): number {
  const seconds = args["codec-timeout"];
  if (typeof seconds !== "number" || !(seconds > 0 && seconds < 1e6))
    faults.push(`\`--codec-timeout\`: expected seconds, more than 0, got ${String(seconds)}`);
  return 1000 * (seconds as number);
}

/** @throws {PsgdError} SETTINGS_INVALID if there are any */
export function throwFaults(faults: readonly string[]): void {
  if (faults.length > 0)
    throw new PsgdError("SETTINGS_INVALID", `${faults.join("; ")}; see \`--help\``);
}

async function examine(examination: CodecExamination): Promise<readonly Finding[]> {
  // Here and not above: the harness brings vitest along, which only those have who develop.
  const { examineCodec } = await import("@psgd/harness");
  return examineCodec(examination);
}

/** Where the page is to be, which is nowhere yet: hours of looking must not end at a file that is there already. */
async function pageOf(asked: string | undefined, codec: string): Promise<string | undefined> {
  if (asked === undefined) return undefined;
  let path = asked === "" ? `${codec}-conformance.html` : asked;
  for (let copy = 2; asked === "" && (await exists(path)); copy++)
    path = `${codec}-conformance-${copy}.html`;
  await access(dirname(path), constants.W_OK).catch((cause: unknown) => {
    throw new PsgdError(
      "STORE_FAILED",
      `\`--page\`: expected a directory that can be written to, got ${dirname(path)}: ${(cause as Error).message}`,
      { cause },
    );
  });
  if (await exists(path))
    throw new PsgdError(
      "STORE_EXISTS",
      `\`--page\`: expected a new file, got ${path}, which is there already; give another name, or none`,
    );
  return path;
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** The arguments that `codec simulate` needs for the same codec. */
function commandOf(args: Arguments): string {
  const server = args["server-codec"] as string | undefined;
  return [
    args["codec"] as string,
    ...(server === undefined ? [] : [`--server-codec ${server}`]),
    ...(args["param"] as readonly string[]).map((param) => `--param ${param}`),
  ].join(" ");
}

/** What is longer is told below the table. */
const LONGEST_CELL = 120;

function tell(
  name: string,
  sync: SyncPolicyName,
  findings: readonly Finding[],
  command: string,
): void {
  const skipped = findings.filter(({ verdict }) => verdict === "skipped");
  const rows = findings
    .filter(({ verdict }) => verdict !== "skipped")
    .map(({ verdict, check, number, text }) => [
      verdict,
      check,
      number,
      text.length > LONGEST_CELL ? `${text.slice(0, LONGEST_CELL)} …` : text,
    ]);
  if (skipped.length > 0) rows.push(["skipped", `${skipped.length} others`, "", skipped[0]!.text]);
  const wrong = findings.filter(({ verdict }) => verdict === "wrong");
  process.stdout.write(`${name}, ${sync}\n${table(["VERDICT", "CHECK", "NUMBER", "WHAT"], rows)}`);
  // One fault may show in several checks.
  for (const text of new Set(wrong.map((finding) => finding.text))) {
    const same = wrong.filter((finding) => finding.text === text);
    if (text.length > LONGEST_CELL)
      process.stdout.write(
        `\n${same.map(({ check }) => check).join(", ")}:\n  ${text.split("; ").join("\n  ")}\n`,
      );
    for (const { check, story, replay } of same) {
      if (story === undefined) continue;
      const whole =
        replay === undefined ? "" : ` (all of it: psgd codec simulate ${command} ${replay})`;
      process.stdout.write(`\nThe shortest way to ${check}${whole}:\n${story}\n`);
    }
  }
  const verdict =
    wrong.length === 0
      ? "nothing is wrong"
      : `wrong: ${wrong.map(({ check }) => check).join(", ")}`;
  process.stdout.write(`\n${name}, ${sync}: ${findings.length} checks, ${verdict}\n\n`);
}
