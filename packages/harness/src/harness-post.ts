import type { NodeId } from "@psgd/core";
import { blockPacket } from "@psgd/runtime";
import type { BlockMessage } from "@psgd/sgd";
import { pack, unpack } from "@psgd/wire";

/** A message on its way: packed when it was sent, as in a job. */
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
  readonly #links = new Map<string, HarnessLink>();
  /** Those with something on their way, by place: a hundred nodes have ten thousand links, to be looked through never. */
  readonly #open: HarnessLink[] = [];
  sentCount = 0;
  sentBytes = 0;

  /** @returns its packed bytes */
  send(
    from: NodeId,
    to: NodeId,
    message: BlockMessage,
    { isBackup, depth }: Pick<Letter, "isBackup" | "depth">,
  ): number {
    const bytes = pack(blockPacket(message));
    this.sentCount++;
    this.sentBytes += bytes.length;
    const key = `${from}>${to}`;
    const link = this.#links.get(key) ?? { place: this.#links.size, letters: [] };
    this.#links.set(key, link);
    if (link.letters.length === 0) this.#open.splice(this.#openBefore(link.place), 0, link);
    link.letters.push({ from, to, isBackup, depth, bytes });
    return bytes.length;
  }

  /** Pairs of nodes with something on its way. */
  get openLinkCount(): number {
    return this.#open.length;
  }

  /** Takes the next message of one of the open links; `index` says of which. */
  take(index: number): { letter: Letter; message: BlockMessage } {
    const { letters } = this.#open[index]!;
    const letter = letters.shift()!;
    if (letters.length === 0) this.#open.splice(index, 1);
    const packet = unpack(letter.bytes) as ReturnType<typeof blockPacket>;
    return { letter, message: packet.message };
  }

  /** How many of the open links were made before the one of this place. */
  #openBefore(place: number): number {
    let low = 0;
    let high = this.#open.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#open[middle]!.place < place) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

interface HarnessLink {
  /** How many links were made before it. */
  readonly place: number;
  readonly letters: Letter[];
}
