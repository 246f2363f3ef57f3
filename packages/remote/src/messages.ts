import { PsgdError, type ErrorRecord, type Plan, type PlanValue } from "@psgd/core";
import type { TensorValue } from "./tensor-value.js";

/**
 * How messages name what a worker holds: `12` is the sender's own, `s3:12` one that another caller has tagged. Ids are
 * given by the caller, so that it can go on before the worker has anything to answer.
 */
export type Reference = string;

/** What a caller says to a worker. */
export type CallerMessage =
  /** Keep a tensor; one with tags can be found and used by every caller. */
  | {
      readonly type: "put";
      readonly id: Reference;
      readonly tensor: TensorValue;
      readonly tags: readonly string[];
    }
  /** Keep a plan, with the state it starts from. */
  | {
      readonly type: "plan";
      readonly id: Reference;
      readonly plan: Plan;
      readonly state: Float32Array;
    }
  /** Run a plan on what is there, and keep the results under these ids. */
  | {
      readonly type: "run";
      readonly plan: Reference;
      readonly inputs: readonly Reference[];
      readonly outputs: readonly Reference[];
    }
  | { readonly type: "get"; readonly request: number; readonly id: Reference }
  | { readonly type: "search"; readonly request: number; readonly tags: readonly string[] }
  | { readonly type: "free"; readonly ids: readonly Reference[] };

/** A tensor that was found by its tags. */
interface Found extends PlanValue {
  readonly id: Reference;
  readonly tags: readonly string[];
}

/** What a worker answers. */
export type HostMessage =
  | { readonly type: "value"; readonly request: number; readonly tensor: TensorValue }
  | { readonly type: "failed"; readonly request: number; readonly error: ErrorRecord }
  | { readonly type: "found"; readonly request: number; readonly entries: readonly Found[] }
  /** The caller does not speak our language; the line ends here. */
  | { readonly type: "refused"; readonly error: ErrorRecord };

const MOST_IDS = 65_536;
const OWN_ID = /^\d{1,15}$/;
const ANY_ID = /^(?:s\d{1,15}:)?\d{1,15}$/;

/**
 * Checks the form of what somebody on the network sent; tensors and plans are judged where they are used.
 * @throws {PsgdError} WIRE_MALFORMED
 */
export function readCallerMessage(value: unknown): CallerMessage {
  const message = (value ?? {}) as Readonly<Record<string, unknown>>;
  const fault = faultOf(message);
  if (fault === undefined) return message as unknown as CallerMessage;
  throw new PsgdError("WIRE_MALFORMED", `message to a worker: expected ${fault}`);
}

function faultOf(message: Readonly<Record<string, unknown>>): string | undefined {
  switch (message["type"]) {
    case "put":
      return is(message["id"], OWN_ID, "an id") ?? texts(message["tags"], "tags");
    case "plan":
      if (!(message["state"] instanceof Float32Array)) return "a state";
      return is(message["id"], OWN_ID, "an id");
    case "run":
      return (
        is(message["plan"], OWN_ID, "a plan") ??
        ids(message["inputs"], ANY_ID, "inputs") ??
        ids(message["outputs"], OWN_ID, "outputs")
      );
    case "get":
      return is(message["id"], ANY_ID, "an id") ?? number(message["request"]);
    case "search":
      return texts(message["tags"], "tags") ?? number(message["request"]);
    case "free":
      return ids(message["ids"], OWN_ID, "ids");
    default:
      return "a type that workers know";
  }
}

function is(value: unknown, form: RegExp, what: string): string | undefined {
  return typeof value === "string" && form.test(value) ? undefined : what;
}

function ids(value: unknown, form: RegExp, what: string): string | undefined {
  const fits =
    Array.isArray(value) && value.length <= MOST_IDS && value.every((id) => !is(id, form, what));
  return fits ? undefined : `${what} as a list of ids`;
}

function texts(value: unknown, what: string): string | undefined {
  const fits =
    Array.isArray(value) &&
    value.length <= 32 &&
    value.every((text) => typeof text === "string" && text.length > 0 && text.length <= 200);
  return fits ? undefined : `${what} as a list of at most 32 texts`;
}

function number(value: unknown): string | undefined {
  return Number.isSafeInteger(value) ? undefined : "a number for the request";
}
