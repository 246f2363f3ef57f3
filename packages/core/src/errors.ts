/**
 * Every error code of the project with its meaning. A code that is retired stays listed and is never reused.
 */
export const ERROR_CODES = {
  SETTINGS_INVALID: "An option, job file or environment variable has a value that cannot be used.",
  SETTINGS_PARAM_MISSING: "A codec asked for a parameter that the job does not set.",
  ASSIGNMENT_INVALID: "No block assignment exists for this number of nodes and this redundancy.",
  SHAPE_MISMATCH: "A vector or tensor has another length or shape than the model.",
  PAIRING_INVALID: "Codec, server codec and optimizer do not carry the same thing.",
  CODEC_LOAD_FAILED: "A codec file or class cannot be found, compiled or constructed.",
  CODEC_THREW: "A codec's own method threw.",
  CODEC_TIMEOUT: "A codec's own method did not return in time.",
  CODEC_INVALID_RETURN: "A codec returned something other than envelopes.",
  CODEC_INVALID_TARGET: "An envelope names a target that is not a node of the job.",
  CODEC_WRONG_RESULT:
    "The harness saw results that differ between nodes or from the mean they should be, or memory changed that is not the codec's.",
  CODEC_NO_RESULT: "A result was taken before the codec set one.",
  NOT_FINITE: "A gradient, weight or loss is NaN or infinite.",
  OUT_OF_STEP: "A synchronous node received a message from a step it cannot be at.",
  STALE_UPDATE: "A contribution is older than the job allows.",
  SYNC_TIMEOUT: "A node waited longer for its peers than the job allows.",
  COMMIT_REJECTED: "A worker refused the job.",
  COMMIT_TIMEOUT: "A worker did not answer, or did not become ready, in time.",
  NODE_LOST: "A node of the job is gone.",
  JOB_FAILED: "A node of the job reported an error.",
  JOB_CANCELLED: "The job was cancelled.",
  JOB_UNKNOWN: "No worker that answers knows this job.",
  CLUSTER_UNREACHABLE: "The message broker cannot be reached.",
  TRANSPORT_CLOSED: "The transport or link was closed while it was in use.",
  PAYLOAD_TOO_LARGE: "A message is larger than the limit.",
  PAYLOAD_UNPACKABLE: "A message holds a value that cannot be sent.",
  WIRE_MALFORMED: "Bytes from the network do not have the expected form.",
  WIRE_VERSION: "The other side speaks another version of the protocol.",
  PLAN_INVALID: "A compute plan is malformed, too large or uses an unknown kernel.",
  MODEL_INVALID: "A model file does not build a model that can be trained here.",
  POINTER_GONE: "A pointer refers to something that its worker does not hold, or not any more.",
  WORKER_LOST: "A worker that computes for a caller is gone.",
  BACKEND_UNAVAILABLE: "A compute engine cannot run on this machine.",
  DATA_UNAVAILABLE: "A dataset is not on this machine and cannot be downloaded.",
  DATA_CORRUPT: "A data file does not have the expected content.",
  STORE_EXISTS: "A file that must not be overwritten is already there.",
  STORE_FAILED: "A file cannot be read or written.",
} as const satisfies Record<string, string>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** What an error carries besides its text: plain values only, so that it survives threads and wires. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

/**
 * The one error class. Its identity is the code, which is also the first word of the message, because a class does
 * not survive a thread, a realm or the network; `isPsgdError` recognises it by that.
 */
export class PsgdError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  /**
   * @param text - `<subject>: expected <rule>, got <value>; <where>; <remedy>`, without the code
   */
  constructor(
    code: ErrorCode,
    text: string,
    options: { details?: ErrorDetails; cause?: unknown } = {},
  ) {
    super(`${code}: ${text}`, "cause" in options ? { cause: options.cause } : {});
    this.name = "PsgdError";
    this.code = code;
    this.details = options.details ?? {};
  }
}

/** The code an error carries, by field or, where the field was lost on the way, by the first word of its message. */
export function errorCode(error: unknown): ErrorCode | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  const { code, message } = error as { code?: unknown; message?: unknown };
  const word = typeof message === "string" ? /^([A-Z_]+): /.exec(message)?.[1] : undefined;
  const found = typeof code === "string" && Object.hasOwn(ERROR_CODES, code) ? code : word;
  return found !== undefined && Object.hasOwn(ERROR_CODES, found)
    ? (found as ErrorCode)
    : undefined;
}

/** Whether an error, wherever it was born, is ours, and has this code if one is given. */
export function isPsgdError(error: unknown, code?: ErrorCode): error is PsgdError {
  const found = errorCode(error);
  return found !== undefined && (code === undefined || found === code);
}

/** An error as plain data, for threads, pipes and the network. */
export interface ErrorRecord {
  readonly code: ErrorCode | undefined;
  readonly message: string;
  readonly stack: string | undefined;
  readonly details: ErrorDetails;
}

/** Turns anything thrown into plain data. */
export function toErrorRecord(error: unknown): ErrorRecord {
  if (!(error instanceof Error) && (typeof error !== "object" || error === null)) {
    return { code: undefined, message: String(error), stack: undefined, details: {} };
  }
  const { message, stack, details } = error as {
    message?: unknown;
    stack?: unknown;
    details?: unknown;
  };
  return {
    code: errorCode(error),
    message: typeof message === "string" ? message : "an object without a message was thrown",
    stack: typeof stack === "string" ? stack : undefined,
    details: typeof details === "object" && details !== null ? { ...details } : {},
  };
}

/** Turns plain data back into an error; one without a code of ours becomes `fallback`. */
export function fromErrorRecord(
  record: ErrorRecord,
  fallback: ErrorCode = "JOB_FAILED",
): PsgdError {
  const code = record.code ?? fallback;
  const text = record.message.startsWith(`${code}: `)
    ? record.message.slice(code.length + 2)
    : record.message;
  const error = new PsgdError(code, text, { details: record.details });
  if (record.stack !== undefined) error.stack = record.stack;
  return error;
}

/**
 * Asserts what our own code guarantees; a failure is a bug of ours, never the user's.
 * @throws {Error} with a text that starts with "bug:"
 */
export function invariant(condition: boolean, text: string): asserts condition {
  if (!condition) throw new Error(`bug: ${text}`);
}
