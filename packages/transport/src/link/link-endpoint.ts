import {
  errorCode,
  PsgdError,
  toErrorRecord,
  type Clock,
  type Listener,
  type Logger,
  type Random,
  type Transport,
} from "@psgd/core";
import { callSafely } from "../callbacks.js";
import { checkAddress, CHUNK_BYTES } from "../frame-rules.js";
import {
  frameFor,
  headerBytes,
  readFrame,
  stamp,
  UNKNOWN_LINK,
  type Frame,
  type LinkId,
} from "./link-frame.js";
import { Link } from "./link.js";
import { WINDOW_FRAMES } from "./sending-window.js";

/** How long silence lasts before a peer is taken for dead, unless the endpoint says otherwise. */
const DEAD_AFTER_MS = 4_000;

/** Ended links that are remembered, so that late frames of theirs are told from those of new ones. */
const REMEMBERED_LINKS = 1024;

export interface LinkEndpointOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  /** Where peers reach this endpoint; no other endpoint may listen there. */
  readonly address: string;
  readonly log: Logger;
  /** Called for each link that a peer opens, before its first message. */
  readonly onLink: (link: Link) => void;
  /** Silence, in milliseconds of being connected, after which a peer is lost. */
  readonly deadAfterMs?: number;
  /** Frames of one link that may be on their way unacknowledged. @defaultValue 512, which fill the fastest network */
  readonly windowFrames?: number | undefined;
}

/**
 * The reliable links of one address, to any number of peers, over an unreliable transport.
 *
 * Runs on one event loop. Frames come in from the transport's callback, time from one timer per link; both drive the
 * link's protocol. What a handler sends from within is only queued or handed to the transport, which delivers later.
 */
export class LinkEndpoint {
  readonly #options: LinkEndpointOptions;
  /** All that are not over, by their own id. */
  readonly #links = new Map<LinkId, Link>();
  /** Of links that are over: the peer's id, and how much of the peer had arrived; oldest first. */
  readonly #ended = new Map<LinkId, number>();
  readonly #warned = new Set<string | undefined>();
  #listener: Listener | undefined;
  #stopStatus: () => void = () => {};
  #isClosing = false;
  #refusedFrameCount = 0;

  private constructor(options: LinkEndpointOptions) {
    this.#options = options;
  }

  /**
   * Listens; peers may connect when this resolves.
   * @throws {PsgdError} SETTINGS_INVALID for the address, TRANSPORT_CLOSED
   */
  static async open(options: LinkEndpointOptions): Promise<LinkEndpoint> {
    const endpoint = new LinkEndpoint(options);
    const { transport, address } = options;
    endpoint.#listener = await transport.listen(address, (bytes) => endpoint.#onBytes(bytes));
    endpoint.#stopStatus = transport.onStatus((status) => {
      for (const link of [...endpoint.#links.values()]) link.setStatus(status);
    });
    return endpoint;
  }

  /** Frames that were damaged, of another version or not ours. */
  get refusedFrameCount(): number {
    return this.#refusedFrameCount;
  }

  /**
   * The link to a peer: the one that is open, else a new one. The peer may come up later, but not later than silence
   * lasts.
   * @throws {PsgdError} SETTINGS_INVALID, TRANSPORT_CLOSED
   */
  connect(peerAddress: string): Link {
    checkAddress(peerAddress);
    const { address, transport } = this.#options;
    if (peerAddress === address) {
      throw new PsgdError(
        "SETTINGS_INVALID",
        `link: expected another address, got our own ${address}`,
      );
    }
    if (this.#isClosing || transport.status === "closed") {
      throw new PsgdError("TRANSPORT_CLOSED", `link to ${peerAddress}: ${address} is closed`);
    }
    const open = this.#openLink(peerAddress);
    if (open !== undefined) return open;
    const link = this.#create(peerAddress);
    link.hello();
    return link;
  }

  /** Closes every link, letting what was sent arrive, and stops listening. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await Promise.all([...this.#links.values()].map((link) => link.close()));
    this.#stopStatus();
    this.#listener?.close();
  }

  #openLink(peerAddress: string): Link | undefined {
    for (const link of this.#links.values()) {
      if (link.peerAddress === peerAddress && !link.isClosed) return link;
    }
    return undefined;
  }

  #create(peerAddress: string): Link {
    const { address, random, transport } = this.#options;
    const { deadAfterMs = DEAD_AFTER_MS, windowFrames = WINDOW_FRAMES } = this.#options;
    // Never 0, which says that the id is unknown.
    const linkId = (BigInt(random.uint32()) << 32n) | BigInt((random.uint32() | 1) >>> 0);
    const room = transport.maxFrameBytes - headerBytes(address);
    const chunkBytes = Math.min(CHUNK_BYTES, Math.floor(room / 8) * 8);
    const identity = { address, peerAddress, linkId, deadAfterMs, chunkBytes, windowFrames };
    const link = new Link(identity, this.#options, () => {
      this.#links.delete(linkId);
      if (link.peerLinkId !== UNKNOWN_LINK) this.#remember(link);
    });
    this.#links.set(linkId, link);
    return link;
  }

  #remember(link: Link): void {
    this.#ended.set(link.peerLinkId, link.acknowledged);
    if (this.#ended.size <= REMEMBERED_LINKS) return;
    const [oldest] = this.#ended.keys();
    this.#ended.delete(oldest!);
  }

  #onBytes(bytes: Uint8Array): void {
    let frame: Frame;
    try {
      frame = readFrame(bytes);
    } catch (error) {
      // A damaged frame is sent again by its sender; what is not ours is nobody's loss.
      this.#refusedFrameCount++;
      this.#warnOnce(error);
      return;
    }
    const link = this.#linkOf(frame);
    if (link !== undefined) link.receive(frame);
    else if (frame.type === "reset") return;
    else if (this.#isOpening(frame)) this.#accept(frame);
    else this.#reset(frame);
  }

  #linkOf(frame: Frame): Link | undefined {
    if (frame.peerLinkId !== UNKNOWN_LINK) {
      const link = this.#links.get(frame.peerLinkId);
      const isPeer = link?.peerLinkId === UNKNOWN_LINK || link?.peerLinkId === frame.linkId;
      return isPeer && link.peerAddress === frame.from ? link : undefined;
    }
    // The peer has not heard of us yet: it is one that we know, or one that we are calling while it calls us.
    const links = [...this.#links.values()].filter((link) => link.peerAddress === frame.from);
    return (
      links.find((link) => link.peerLinkId === frame.linkId) ??
      links.find((link) => link.peerLinkId === UNKNOWN_LINK && !this.#ended.has(frame.linkId))
    );
  }

  #isOpening(frame: Frame): boolean {
    const isNew = frame.peerLinkId === UNKNOWN_LINK && !this.#ended.has(frame.linkId);
    return isNew && !this.#isClosing && frame.from !== this.#options.address;
  }

  #accept(frame: Frame): void {
    this.#openLink(frame.from)?.lose(
      new PsgdError(
        "NODE_LOST",
        `${frame.from}: expected the process that opened the link, got a new one; was it restarted?`,
      ),
    );
    const link = this.#create(frame.from);
    callSafely(this.#options.onLink, link);
    link.receive(frame);
    // So that a peer that has called for a while knows at once that somebody is here now.
    link.hello();
  }

  /** Tells the sender that there is no such link, and how much of it had arrived when there was. */
  #reset(frame: Frame): void {
    const { transport, address } = this.#options;
    if (transport.status !== "connected") return;
    const content = {
      type: "reset",
      from: address,
      // As the peer knows us, so that it takes this as an answer.
      linkId: frame.peerLinkId,
      sequence: 0,
      messageBytes: 0,
      offset: 0,
    } as const;
    const reset = frameFor(content, 0);
    const acknowledged = this.#ended.get(frame.linkId) ?? 0;
    stamp(reset, frame.linkId, { acknowledged, early: 0 });
    transport.send(frame.from, reset);
  }

  #warnOnce(error: unknown): void {
    const code = errorCode(error);
    if (this.#warned.has(code)) return;
    this.#warned.add(code);
    this.#options.log.warn(
      `${this.#options.address} refused a frame (further ones of this kind are only counted): ${toErrorRecord(error).message}`,
    );
  }
}
