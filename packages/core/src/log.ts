/** What a logger is told: progress for people, warnings, and errors that were handled. */
export interface Logger {
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

/** A logger that drops everything, for tests and benchmarks. */
export const SILENT: Logger = { info: () => {}, warn: () => {}, error: () => {} };
