import { PsgdError, type CodecClass, type Codec, type CodecContext } from "@psgd/core";
import { routesOver, topologyNamed, type Routes } from "../topologies/index.js";
import { CompressedGradients, type CompressionParts } from "./compressed-gradients.js";
import { CompressedWeights, type Schedule } from "./compressed-weights.js";
import type { Quantizer, Sparsifier } from "./compressor.js";
import { CompressedClient, CompressedServer } from "./through-server.js";

/** Adds what a packet leaves out to the next vector. */
export interface ErrorFeedback {
  readonly kind: "feedback";
  readonly name: string;
}

/** Lets nodes take steps of their own between exchanges. */
export interface ScheduleOfExchanges {
  readonly kind: "schedule";
  readonly name: string;
  readonly schedule: Schedule;
}

/** Sends everything through the parameter server. */
export interface ThroughServer {
  readonly kind: "server";
  readonly name: string;
}

/** Lets what is sent be passed on over a graph. */
export interface OverTopology {
  readonly kind: "topology";
  readonly name: string;
  readonly topology: string;
}

export type Part =
  OverTopology | ErrorFeedback | Sparsifier | Quantizer | ScheduleOfExchanges | ThroughServer;

export function errorFeedback(): ErrorFeedback {
  return { kind: "feedback", name: "errorFeedback" };
}

/** Local SGD: `localSteps` steps by itself, then the mean of the ways of all nodes. */
export function everySteps(localSteps: number): ScheduleOfExchanges {
  return streaming(localSteps, 1);
}

/** The same, with groups of tensors that take turns, so that what is sent at once is smaller. */
export function streaming(localSteps: number, fragments: number): ScheduleOfExchanges {
  const schedule = { localSteps, fragments, outerRate: 1, outerMomentum: 0 };
  return { kind: "schedule", name: `every ${localSteps} steps`, schedule };
}

/** @param topology - a name, or a graph as JSON: see `topologyNamed` */
export function over(topology: string): OverTopology {
  return { kind: "topology", name: `over(${topology})`, topology };
}

export function throughServer(): ThroughServer {
  return { kind: "server", name: "throughServer" };
}

const ORDER = ["feedback", "sparsifier", "quantizer"];

/**
 * A codec made of parts: perhaps error feedback, then perhaps a sparsifier, then perhaps a quantizer, in this order; a
 * schedule or a server anywhere. Without either, gradients go to all other nodes in each step.
 *
 * With a server, export its class, too: `export const MyServer = My.server`.
 *
 * @example
 * export const Mine = pipe(errorFeedback(), topK(0.01), quantize(8));
 *
 * @throws {PsgdError} SETTINGS_INVALID if the parts do not go together
 */
export function pipe(...parts: readonly Part[]): CodecClass {
  requireOrder(parts);
  const find = <Kind extends Part["kind"]>(kind: Kind): Extract<Part, { kind: Kind }> | undefined =>
    parts.find((part): part is Extract<Part, { kind: Kind }> => part.kind === kind);
  const compression: CompressionParts = {
    feedback: find("feedback") !== undefined,
    sparsifier: find("sparsifier"),
    quantizer: find("quantizer"),
  };
  const name = `pipe(${parts.map((part) => part.name).join(", ")})`;
  const schedule = find("schedule")?.schedule;
  const topology = find("topology")?.topology ?? "mesh";
  if (find("server") !== undefined) {
    if (schedule !== undefined || find("topology") !== undefined)
      throw wrong(
        "a server, or a schedule or topology",
        "both: these are for peers; leave one out",
      );
    const server = class extends CompressedServer {
      protected override compression(): CompressionParts {
        return compression;
      }
    };
    const client = class extends CompressedClient {
      static override readonly server: CodecClass = server;
      protected override compression(): CompressionParts {
        return compression;
      }
    };
    named(server, `${name}.server`);
    return named(client, name);
  }
  if (schedule !== undefined) {
    return named(
      class extends CompressedWeights {
        protected override compression(): CompressionParts {
          return compression;
        }
        protected override schedule(): Schedule {
          return schedule;
        }
        protected override routes(): Routes {
          return routesOver(topologyNamed(topology, this.settings.nodeCount));
        }
      },
      name,
    );
  }
  return named(
    class extends CompressedGradients {
      protected override compression(): CompressionParts {
        return compression;
      }
      protected override routes(): Routes {
        return routesOver(topologyNamed(topology, this.settings.nodeCount));
      }
    },
    name,
  );
}

/** What people read in messages: the parts, not the name of a class that has none. */
function named<Class extends new (context: CodecContext) => Codec>(
  codec: Class,
  name: string,
): Class {
  Object.defineProperty(codec, "name", { value: name });
  return codec;
}

function requireOrder(parts: readonly Part[]): void {
  const kinds = parts.map(({ kind }) => kind);
  const twice = kinds.find((kind, index) => kinds.indexOf(kind) !== index);
  if (twice !== undefined) throw wrong("each kind of part once", `two of the kind ${twice}`);
  const places = kinds.map((kind) => ORDER.indexOf(kind)).filter((place) => place >= 0);
  if (places.some((place, i) => i > 0 && place < places[i - 1])) {
    throw wrong(ORDER.join(", then "), parts.map(({ name }) => name).join(", "));
  }
}

function wrong(expected: string, got: string): PsgdError {
  return new PsgdError("SETTINGS_INVALID", `parts of pipe: expected ${expected}, got ${got}`);
}
