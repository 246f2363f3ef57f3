import type { ErrorCode } from "@psgd/core";

/** What the process exits with, by name; the table in the README says the same. */
export const EXIT_CODES = {
  done: 0,
  usage: 2,
  unreachable: 10,
  rejected: 11,
  nodeLost: 12,
  codecFailed: 13,
  timeout: 14,
  dataOrDisk: 15,
  cancelled: 16,
  bug: 20,
  interrupted: 130,
} as const;

type ExitName = keyof typeof EXIT_CODES;

const EXIT_OF: Record<ErrorCode, ExitName> = {
  SETTINGS_INVALID: "usage",
  SETTINGS_PARAM_MISSING: "usage",
  ASSIGNMENT_INVALID: "usage",
  SHAPE_MISMATCH: "codecFailed",
  PAIRING_INVALID: "usage",
  CODEC_LOAD_FAILED: "codecFailed",
  CODEC_THREW: "codecFailed",
  CODEC_TIMEOUT: "codecFailed",
  CODEC_INVALID_RETURN: "codecFailed",
  CODEC_INVALID_TARGET: "codecFailed",
  CODEC_WRONG_RESULT: "codecFailed",
  CODEC_NO_RESULT: "codecFailed",
  NOT_FINITE: "codecFailed",
  OUT_OF_STEP: "codecFailed",
  STALE_UPDATE: "codecFailed",
  SYNC_TIMEOUT: "timeout",
  COMMIT_REJECTED: "rejected",
  COMMIT_TIMEOUT: "timeout",
  NODE_LOST: "nodeLost",
  JOB_FAILED: "bug",
  JOB_CANCELLED: "cancelled",
  JOB_UNKNOWN: "usage",
  CLUSTER_UNREACHABLE: "unreachable",
  TRANSPORT_CLOSED: "unreachable",
  PAYLOAD_TOO_LARGE: "codecFailed",
  PAYLOAD_UNPACKABLE: "codecFailed",
  WIRE_MALFORMED: "bug",
  WIRE_VERSION: "rejected",
  PLAN_INVALID: "usage",
  MODEL_INVALID: "usage",
  POINTER_GONE: "usage",
  WORKER_LOST: "nodeLost",
  BACKEND_UNAVAILABLE: "rejected",
  DATA_UNAVAILABLE: "dataOrDisk",
  DATA_CORRUPT: "dataOrDisk",
  STORE_EXISTS: "dataOrDisk",
  STORE_FAILED: "dataOrDisk",
};

/** The exit code of a failure; one without a code of ours is a bug. */
export function exitCodeOf(code: ErrorCode | undefined): number {
  return EXIT_CODES[code === undefined ? "bug" : EXIT_OF[code]];
}
