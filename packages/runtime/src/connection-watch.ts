import { PsgdError, type Clock, type Logger, type Transport } from "@psgd/core";

/** A broker that is restarted or moved is back by then; what still waits ends with an error instead of hanging. */
const GIVE_UP_AFTER_MS = 60_000;

/**
 * Tells when the message broker goes away and comes back, and gives up on it after a minute.
 * @param onLost - called once at most, with CLUSTER_UNREACHABLE
 * @returns stops watching
 */
export function watchConnection(options: {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onLost: (error: PsgdError) => void;
}): () => void {
  const { transport, clock, log, onLost } = options;
  const seconds = GIVE_UP_AFTER_MS / 1000;
  let cancel = (): void => {};
  const onStatus = (): void => {
    cancel();
    if (transport.status !== "disconnected") return;
    log.warn(`Connection to the message broker lost; waiting up to ${seconds} s for it.`);
    cancel = clock.setTimer(GIVE_UP_AFTER_MS, () =>
      onLost(
        new PsgdError(
          "CLUSTER_UNREACHABLE",
          `message broker: expected it back within ${seconds} s, got no connection; start it again; workers reconnect by themselves`,
        ),
      ),
    );
  };
  const stop = transport.onStatus((status) => {
    onStatus();
    if (status === "connected") log.info("Connection to the message broker is back.");
  });
  onStatus();
  return () => {
    stop();
    cancel();
  };
}
