import { describe, expect, it } from "vitest";
import { examineCodec, type CodecExamination } from "./examine-codec.js";
import { CHECKS, type CheckName, type Finding } from "./finding.js";

/** What a codec's test says of it. */
export interface DescribedCodec extends Omit<CodecExamination, "codec"> {
  /** Checks that the codec is not made to pass, and why. */
  readonly allowed?: Readonly<Partial<Record<CheckName, string>>>;
}

/**
 * Declares one test for each check of the conformance kit.
 * @param name - `FILE.CLASS`, for people
 */
export function describeCodec(
  name: string,
  codec: CodecExamination["codec"],
  { allowed = {}, ...examination }: DescribedCodec = {},
): void {
  describe(`codec ${name}, ${examination.sync ?? "ssgd"}`, () => {
    let findings: Promise<readonly Finding[]> | undefined;
    for (const [check, meaning] of Object.entries(CHECKS) as [CheckName, string][]) {
      const reason = allowed[check];
      it(reason === undefined ? meaning : `(not: ${meaning}: ${reason})`, async () => {
        findings ??= examineCodec({ ...examination, codec });
        const found = (await findings).find((finding) => finding.check === check)!;
        const isFine = found.verdict === "ok" || found.verdict === "note";
        // What is allowed and does not happen is an excuse that nobody needs any more.
        expect(isFine, told(found)).toBe(reason === undefined);
      });
    }
  });
}

function told({ check, number, text, seed, story }: Finding): string {
  return `${check}: ${number}; ${text}; seed ${seed}${story === undefined ? "" : `\n${story}`}`;
}
