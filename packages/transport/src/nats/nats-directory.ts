import {
  PsgdError,
  type Listener,
  type Transport,
  type WorkerDirectory,
  type WorkerInfo,
} from "@psgd/core";
import { createInbox, type Msg, type NatsConnection } from "@nats-io/transport-node";
import { checkAddress, closedError } from "../frame-rules.js";
import { readWorkerInfo, sortedWorkers } from "../worker-info.js";

const SERVICE = "psgd-worker";
const ASK_AGAIN_MS = 500;
const MAX_REPLY_BYTES = 64 * 1024;

/**
 * Workers as a NATS service (NATS ADR-32, so `nats micro list` shows them): each answers `$SRV.PING`, `$SRV.INFO` and
 * `$SRV.STATS`, asked of all services, of this kind or of one worker. What we ask for is the data of its endpoint.
 */
export class NatsDirectory implements WorkerDirectory {
  readonly #connection: NatsConnection;
  readonly #transport: Transport;
  #malformedReplyCount = 0;

  constructor(connection: NatsConnection, transport: Transport) {
    this.#connection = connection;
    this.#transport = transport;
  }

  /** Answers that were ignored because they are not what a worker says. */
  get malformedReplyCount(): number {
    return this.#malformedReplyCount;
  }

  async announce(info: () => WorkerInfo): Promise<Listener> {
    const { workerId } = info();
    checkAddress(workerId);
    if (this.#transport.status === "closed") throw closedError("announce a worker");
    const started = new Date().toISOString();
    const subscriptions = Object.entries(ANSWERS).flatMap(([verb, answer]) =>
      [`$SRV.${verb}`, `$SRV.${verb}.${SERVICE}`, `$SRV.${verb}.${SERVICE}.${workerId}`].map(
        (subject) =>
          this.#connection.subscribe(subject, {
            callback: (error, message) => {
              if (error === null) respond(message, () => answer(info(), started));
            },
          }),
      ),
    );
    await this.#transport.flush();
    return { close: () => subscriptions.forEach((subscription) => subscription.unsubscribe()) };
  }

  async list(options: Parameters<WorkerDirectory["list"]>[0]): Promise<readonly WorkerInfo[]> {
    const { timeoutMs, enough } = options;
    if (this.#transport.status !== "connected") {
      throw new PsgdError(
        "CLUSTER_UNREACHABLE",
        `list of workers: expected a connection to the message broker, got ${this.#transport.status}; ` +
          "check that it runs and try again",
      );
    }
    const found = new Map<string, WorkerInfo>();
    const workers = (): readonly WorkerInfo[] => sortedWorkers(found.values());
    const inbox = createInbox();
    const ask = (): void => {
      if (this.#transport.status === "connected") {
        this.#connection.publish(`$SRV.STATS.${SERVICE}`, undefined, { reply: inbox });
      }
    };
    return new Promise((resolve) => {
      const finish = (): void => {
        subscription.unsubscribe();
        clearTimeout(timeout);
        clearInterval(asking);
        resolve(workers());
      };
      const subscription = this.#connection.subscribe(inbox, {
        callback: (error, message) => {
          // A reply with a status instead of content: nobody is there to answer (yet).
          if (error !== null || message.headers !== undefined) return;
          const worker = readReply(message);
          if (worker === undefined) {
            this.#malformedReplyCount++;
            return;
          }
          found.set(worker.workerId, worker);
          if (isEnough(enough, workers())) finish();
        },
      });
      const timeout = setTimeout(finish, timeoutMs);
      // Again and again: a worker may come up while we wait, and a question may get lost.
      const asking = setInterval(ask, ASK_AGAIN_MS);
      ask();
    });
  }
}

/** An exception must not reach the client's reader: it would stop the connection. */
function isEnough(
  enough: ((found: readonly WorkerInfo[]) => boolean) | undefined,
  found: readonly WorkerInfo[],
): boolean {
  try {
    return enough?.(found) === true;
  } catch {
    return false;
  }
}

function respond(message: Msg, answer: () => object): void {
  try {
    message.respond(JSON.stringify(answer()));
  } catch (error) {
    process.emitWarning(error instanceof Error ? error : String(error), "CallbackThrew");
  }
}

function readReply(message: Msg): WorkerInfo | undefined {
  if (message.data.length > MAX_REPLY_BYTES) return undefined;
  try {
    const reply = message.json<{ type?: unknown; endpoints?: { data?: unknown }[] } | null>();
    if (reply?.type !== STATS_TYPE) return undefined;
    return readWorkerInfo(reply.endpoints?.[0]?.data);
  } catch {
    // Not JSON, or not of this shape: counted by the caller.
    return undefined;
  }
}

const STATS_TYPE = "io.nats.micro.v1.stats_response";

/** What a worker says of itself in every answer. */
function identity(info: WorkerInfo): object {
  return {
    name: SERVICE,
    id: info.workerId,
    version: info.version,
    metadata: {
      name: info.name,
      protocol: String(info.protocol),
      engines: info.engines.join(","),
      slots: `${info.freeSlots}/${info.slots}`,
    },
  };
}

function endpoint(info: WorkerInfo): object {
  return { name: "control", subject: `psgd.${info.address}`, queue_group: "" };
}

/** The three questions of the protocol. */
const ANSWERS: Readonly<Record<string, (info: WorkerInfo, started: string) => object>> = {
  PING: (info) => ({ type: "io.nats.micro.v1.ping_response", ...identity(info) }),
  INFO: (info) => ({
    type: "io.nats.micro.v1.info_response",
    ...identity(info),
    description: "Runs nodes of Parallel-SGD jobs",
    endpoints: [{ ...endpoint(info), metadata: {} }],
  }),
  STATS: (info, started) => ({
    type: STATS_TYPE,
    ...identity(info),
    started,
    endpoints: [
      {
        ...endpoint(info),
        num_requests: 0,
        num_errors: 0,
        last_error: "",
        processing_time: 0,
        average_processing_time: 0,
        data: info,
      },
    ],
  }),
};
