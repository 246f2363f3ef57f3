import type { NodeId } from "@psgd/core";
import type { BlockMessage } from "@psgd/sgd";
import { pack, unpack } from "@psgd/wire";

/** A message on its way: packed when it was sent, as on a network. */
export interface Letter {
  readonly from: NodeId;
  readonly to: NodeId;
  /** Whether `onSyncTimeout` sent it. */
  readonly isBackup: boolean;
  /** Messages that it had to wait for, one after the other, itself included. */
  readonly depth: number;
  readonly bytes: Uint8Array;
}

/** The network of the harness: in order from one node to another, as links are, and in any order between such pairs. */
export class HarnessPost {
  readonly #links = new Map<string, Letter[]>();
  sentCount = 0;
  sentBytes = 0;

  /** @returns its packed bytes */
  send(
    from: NodeId,
    to: NodeId,
    message: BlockMessage,
    { isBackup, depth }: Pick<Letter, "isBackup" | "depth">,
  ): number {
    const bytes = pack(message);
    this.sentCount++;
    this.sentBytes += bytes.length;
    const link = this.#links.get(`${from}>${to}`) ?? [];
    this.#links.set(`${from}>${to}`, link);
    link.push({ from, to, isBackup, depth, bytes });
    return bytes.length;
  }

  /** Pairs of nodes with something on its way. */
  get openLinkCount(): number {
    return this.#open().length;
  }

  /** Takes the next message of one of the open links; `place` says of which. */
  take(place: number): { letter: Letter; message: BlockMessage } {
    const letter = this.#open()[place]!.shift()!;
    return { letter, message: unpack(letter.bytes) as BlockMessage };
  }

  #open(): Letter[][] {
    return [...this.#links.values()].filter((letters) => letters.length > 0);
  }
}
