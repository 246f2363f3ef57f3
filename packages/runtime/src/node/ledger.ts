import { stringify } from "csv-stringify/sync";
import { nodeName, type NodeId } from "@psgd/core";

/** What one codec of a node, or the runtime itself, has sent to or received from one peer. */
export interface LedgerEntry {
  /** Class of the codec; empty for what none has sent. */
  readonly codec: string;
  /**
   * The tensor that the codec handles; empty for the whole model. Without a codec `control` for messages of the runtime,
   * clocks of bounded staleness included, and `overhead` for headers, acknowledgements and repetitions of the link.
   */
  readonly tensor: string;
  readonly peer: NodeId;
  readonly direction: "sent" | "received";
  readonly messages: number;
  /** Packed, each message once. */
  readonly bytes: number;
  /** Values of the model that the codec handles: 4 bytes of each are what a message takes that sends everything. */
  readonly values: number;
}

/** A codec by its place in the exchange. */
export interface LedgerCodec {
  readonly codec: string;
  readonly tensor: string;
  readonly values: number;
}

/** Counts what one node sends and receives: all of its messages, each in one entry. */
export class Ledger {
  readonly #codecs: readonly LedgerCodec[];
  readonly #counts = new Map<string, { readonly key: Key; messages: number; bytes: number }>();

  constructor(codecs: readonly LedgerCodec[]) {
    this.#codecs = codecs;
  }

  /** Counts one message; `codecIndex` says of which codec, anything else of none: a peer may send what it likes. */
  count(direction: "sent" | "received", peer: NodeId, codecIndex: unknown, bytes: number): void {
    const isOfCodec = typeof codecIndex === "number" && codecIndex in this.#codecs;
    const key = { direction, peer, codecIndex: isOfCodec ? codecIndex : -1 };
    const name = `${direction}/${peer}/${key.codecIndex}`;
    const entry = this.#counts.get(name) ?? { key, messages: 0, bytes: 0 };
    this.#counts.set(name, entry);
    entry.messages++;
    entry.bytes += bytes;
  }

  /**
   * By peer, sent before received, codecs in their order; at the end the overhead.
   * @param overheadByPeer - bytes sent beyond the messages
   */
  entries(overheadByPeer: ReadonlyMap<NodeId, number>): LedgerEntry[] {
    const counted = [...this.#counts.values()]
      .sort(
        ({ key: a }, { key: b }) =>
          a.peer - b.peer || b.direction.localeCompare(a.direction) || a.codecIndex - b.codecIndex,
      )
      .map(({ key: { direction, peer, codecIndex }, messages, bytes }) => {
        const { codec, tensor, values } = this.#codecs[codecIndex] ?? CONTROL;
        return { codec, tensor, peer, direction, messages, bytes, values };
      });
    const overhead = [...overheadByPeer].map(([peer, bytes]): LedgerEntry => ({
      ...{ codec: "", tensor: "overhead", peer, direction: "sent", messages: 0, bytes, values: 0 },
    }));
    return [...counted, ...overhead];
  }
}

interface Key {
  readonly direction: "sent" | "received";
  readonly peer: NodeId;
  readonly codecIndex: number;
}

const CONTROL: LedgerCodec = { codec: "", tensor: "control", values: 0 };

const COLUMNS = ["Codec", "Tensor", "From", "To", "Direction", "Messages", "Bytes", "Values"];

/** The ledger of one node as a CSV file (`L-….csv`). */
export function ledgerFile(nodeId: NodeId, entries: readonly LedgerEntry[]): Uint8Array {
  const rows = entries.map(({ codec, tensor, peer, direction, messages, bytes, values }) => {
    const [from, to] = direction === "sent" ? [nodeId, peer] : [peer, nodeId];
    return [codec, tensor, nodeName(from), nodeName(to), direction, messages, bytes, values];
  });
  return new TextEncoder().encode(stringify([COLUMNS, ...rows]));
}
