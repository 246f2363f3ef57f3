import { didYouMean, nearMiss } from "./near-miss.js";

/**
 * Says in our words what yargs found wrong with the command line: what was expected, what came, what was meant.
 *
 * @param message - what yargs says
 * @param help - text of `--help`, where the options that there are can be read
 */
export function usageFault(message: string, help: string): string {
  const unknown = /^Unknown (?:argument|command)s?: (.*)$/s.exec(message)?.[1];
  if (unknown !== undefined) {
    const words = [...help.matchAll(/--([a-z][\w-]*)|^ +\w+ ([a-z][\w-]*)  /gm)].map(
      ([, option, command]) => option ?? command!,
    );
    const isOption = (word: string): boolean => help.includes(`--${word}`);
    const unknownWords = unknown.split(", ");
    const isSpelling = (word: string): boolean =>
      unknownWords.some((other) => other.includes("-") && camelCase(other) === word);
    return unknownWords
      .filter((word) => !isSpelling(word))
      .map((word) => {
        const near = nearMiss(word, words);
        const meant = near !== undefined && isOption(near) ? `--${near}` : near;
        return `\`${word}\`: expected a command or option there is, got none of that name${didYouMean(meant)}`;
      })
      .join("; ");
  }
  const choices = [...message.matchAll(/Argument: ([\w-]+), Given: (.*), Choices: (.*)/g)];
  if (choices.length > 0) {
    return choices
      .map(([, name, given, all]) => {
        const names = [...all!.matchAll(/"([^"]*)"/g)].map(([, choice]) => choice!);
        const near = nearMiss(given!.replaceAll('"', ""), names);
        return `\`--${name!}\`: expected one of ${names.join(", ")}, got ${given!}${didYouMean(near)}`;
      })
      .join("; ");
  }
  const valueless = /^Not enough arguments following: (.*)$/s.exec(message)?.[1];
  if (valueless !== undefined)
    return `\`${valueless.length === 1 ? "-" : "--"}${valueless}\`: expected a value, got none`;
  const excluded = /^Arguments ([\w-]+) and ([\w-]+) are mutually exclusive$/.exec(message);
  if (excluded !== null)
    return `\`--${excluded[1]!}\`: expected it without \`--${excluded[2]!}\`, got both`;
  return message;
}

/** yargs names an option that it does not know in this spelling too. */
function camelCase(option: string): string {
  return option.replaceAll(/-+(\w)/g, (_, letter: string) => letter.toUpperCase());
}

/** Options that may be given more than once. */
const REPEATABLE: readonly string[] = ["_", "param", "label", "freeze"];

/**
 * Asserts that every other option is given once, in whatever spelling.
 * @throws {Error} with every fault
 */
export function requireOnce(args: Readonly<Record<string, unknown>>): true {
  const faults = Object.entries(args).flatMap(([name, value]) =>
    // Of its spellings the one with hyphens speaks.
    Array.isArray(value) && !REPEATABLE.includes(name) && /^[a-z][a-z-]+$/.test(name)
      ? [`\`--${name}\`: expected it once, got it ${value.length} times`]
      : [],
  );
  if (faults.length > 0) throw new Error(faults.join("; "));
  return true;
}
