const FIRST_MS = 1000;
const MIN_MS = 200;
const MAX_MS = 10_000;

/**
 * How long to wait for an acknowledgement, from how long they took: RFC 6298, with a smaller minimum. A peer whose event
 * loop is busy for a second thus gets its second, and a fast network its speed.
 */
export class RetransmissionTimeout {
  #smoothedMs = 0;
  #variationMs = 0;
  #isMeasured = false;
  #backOff = 1;

  get ms(): number {
    const estimate = this.#isMeasured ? this.#smoothedMs + 4 * this.#variationMs : FIRST_MS;
    return Math.min(MAX_MS, this.#backOff * Math.max(MIN_MS, estimate));
  }

  /** A frame that was sent once was acknowledged after `ms` (Karn: of a repeated one nobody knows which was meant). */
  measured(ms: number): void {
    const error = Math.abs(this.#smoothedMs - ms);
    this.#variationMs = this.#isMeasured ? 0.75 * this.#variationMs + 0.25 * error : ms / 2;
    this.#smoothedMs = this.#isMeasured ? 0.875 * this.#smoothedMs + 0.125 * ms : ms;
    this.#isMeasured = true;
  }

  /** Nothing came in time: wait twice as long for the next. */
  expired(): void {
    this.#backOff = Math.min(64, 2 * this.#backOff);
  }

  /** Something came. */
  progressed(): void {
    this.#backOff = 1;
  }
}
