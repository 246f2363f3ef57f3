import { PsgdError, type Transport, type WorkerDirectory } from "@psgd/core";
import type { NatsConnection, NodeConnectionOptions, TlsOptions } from "@nats-io/transport-node";
import { NatsTransport } from "./nats-transport.js";

export interface NatsOptions {
  /** `nats://host:port`, or `tls://…`, which then insists on encryption. */
  readonly servers: string | readonly string[];
  /** Shown in the server's list of connections. */
  readonly name: string;
  /** How long to try to reach a server for the first time; afterwards reconnecting never ends. */
  readonly timeoutMs?: number;
  readonly tls?: TlsOptions;
}

const FIRST_CONNECT_TIMEOUT_MS = 5000;
const RETRY_MS = 200;

/**
 * Connects to a NATS server. Closing the transport closes the directory too.
 * @throws {PsgdError} CLUSTER_UNREACHABLE
 */
export async function connectNats(
  options: NatsOptions,
): Promise<{ transport: Transport; directory: WorkerDirectory }> {
  // Loaded here: jobs in one process, with a thread for each node, never connect.
  const { NatsDirectory } = await import("./nats-directory.js");
  const connection = await firstConnection(options);
  const transport = new NatsTransport(connection);
  return { transport, directory: new NatsDirectory(connection, transport) };
}

async function firstConnection(options: NatsOptions): Promise<NatsConnection> {
  const { connect } = await import("@nats-io/transport-node");
  const { name, tls, timeoutMs = FIRST_CONNECT_TIMEOUT_MS } = options;
  const servers = [options.servers].flat();
  // NOTE: the client does not read `tls://` as a wish for encryption; without this option it would talk in the clear.
  const encryption =
    tls ?? (servers.some((server) => server.startsWith("tls://")) ? {} : undefined);
  const unreachable = new PsgdError("CLUSTER_UNREACHABLE", unreachableText(servers));
  const endsAt = performance.now() + timeoutMs;
  for (;;) {
    const leftMs = Math.max(1, endsAt - performance.now());
    const settings: NodeConnectionOptions = {
      servers: [...servers],
      name,
      timeout: leftMs,
      maxReconnectAttempts: -1,
      reconnectTimeWait: RETRY_MS,
      reconnectJitter: RETRY_MS / 4,
      reconnectJitterTLS: RETRY_MS / 4,
      // A frozen server or a cut cable shows after two unanswered pings.
      pingInterval: 1000,
      maxPingOut: 2,
      // A server that refuses us today may have been mended tomorrow.
      ignoreAuthErrorAbort: true,
      ...(encryption === undefined ? {} : { tls: encryption }),
    };
    try {
      return await connect(settings);
    } catch (error) {
      unreachable.cause = error;
      const wait = Math.min(RETRY_MS, endsAt - performance.now());
      if (wait <= 0 || isRefusal(error)) throw withReason(unreachable, error);
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
}

/** Trying again does not help: the server answered, and does not want us. */
function isRefusal(error: unknown): boolean {
  return error instanceof Error && /authoriz|authentic|permission|certificate/i.test(error.message);
}

function withReason(unreachable: PsgdError, error: unknown): PsgdError {
  if (!isRefusal(error)) return unreachable;
  const text = `the message broker refuses us: ${(error as Error).message}; check the keys and the server's settings`;
  return new PsgdError("CLUSTER_UNREACHABLE", text, { cause: error });
}

function unreachableText(servers: readonly string[]): string {
  const { port } = new URL(servers[0]!.includes("://") ? servers[0]! : `nats://${servers[0]!}`);
  return (
    `nothing answers at ${servers.join(", ")}; start it with \`nats-server -p ${port === "" ? 4222 : Number(port)}\`, ` +
    "or give the address of a server that runs"
  );
}
