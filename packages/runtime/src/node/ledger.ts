import { stringify } from "csv-stringify/sync";
import { nodeName, type NodeId } from "@psgd/core";

/** What one codec of a node has sent to or received from one peer. */
export interface LedgerEntry {
  /** Class of the codec; empty for what the link itself adds. */
  readonly codec: string;
  /** The tensor that the codec handles; empty for the whole model. */
  readonly tensor: string;
  readonly peer: NodeId;
  readonly direction: "sent" | "received";
  readonly messages: number;
  /** Packed, each message once; of the link itself headers, acknowledgements and repetitions. */
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

/** Counts what the codecs of one node send and receive. */
export class Ledger {
  readonly #counts = new Map<string, { readonly key: Key; messages: number; bytes: number }>();

  /** Counts one message; `variableId` says of which codec it is, one below 0 of none. */
  count(direction: "sent" | "received", peer: NodeId, variableId: number, bytes: number): void {
    const name = `${direction}/${peer}/${variableId}`;
    let entry = this.#counts.get(name);
    if (entry === undefined) {
      entry = { key: { direction, peer, variableId }, messages: 0, bytes: 0 };
      this.#counts.set(name, entry);
    }
    entry.messages++;
    entry.bytes += bytes;
  }

  /** By peer, sent before received, codecs in their order. */
  entries(codecs: readonly LedgerCodec[]): LedgerEntry[] {
    return [...this.#counts.values()]
      .sort(
        ({ key: a }, { key: b }) =>
          a.peer - b.peer || b.direction.localeCompare(a.direction) || a.variableId - b.variableId,
      )
      .map(({ key: { direction, peer, variableId }, messages, bytes }) => {
        const { codec, tensor, values } = codecs[variableId] ?? UNKNOWN;
        return { codec, tensor, peer, direction, messages, bytes, values };
      });
  }
}

interface Key {
  readonly direction: "sent" | "received";
  readonly peer: NodeId;
  readonly variableId: number;
}

/** Of messages that no codec sends, such as the clocks of bounded staleness. */
const UNKNOWN: LedgerCodec = { codec: "", tensor: "", values: 0 };

const COLUMNS = ["Codec", "Tensor", "From", "To", "Direction", "Messages", "Bytes", "Values"];

/** The ledger of one node as a CSV file (`L-….csv`). */
export function ledgerFile(nodeId: NodeId, entries: readonly LedgerEntry[]): Uint8Array {
  const rows = entries.map(({ codec, tensor, peer, direction, messages, bytes, values }) => {
    const [from, to] = direction === "sent" ? [nodeId, peer] : [peer, nodeId];
    return [codec, tensor, nodeName(from), nodeName(to), direction, messages, bytes, values];
  });
  return new TextEncoder().encode(stringify([COLUMNS, ...rows]));
}
