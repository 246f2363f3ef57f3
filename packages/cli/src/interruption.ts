import { PsgdError, type Logger } from "@psgd/core";
import { systemClock, type JobFollower } from "@psgd/runtime";

/** How long a second Ctrl-C is waited for. */
const SECOND_PRESS_MS = 1_000;

/**
 * Ctrl-C. While a job is being submitted it calls the submission off; while the job runs, once leaves it to the
 * cluster and twice cancels it.
 */
export class Interruption implements Disposable {
  /** Whether the user has cancelled a running job. */
  isCancelled = false;
  readonly #abort = new AbortController();
  readonly #onSignal = (): void => this.#react();
  #react = (): void => this.#abort.abort();
  #cancelTimer = (): void => {};

  constructor() {
    process.on("SIGINT", this.#onSignal);
    process.on("SIGTERM", this.#onSignal);
  }

  /** Fires if the submission is called off. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /**
   * From now on the job runs.
   * @param canDetach - whether it goes on without us
   * @returns resolves when the user leaves
   */
  follow(
    follower: JobFollower,
    { jobId, canDetach, output }: { jobId: string; canDetach: boolean; output: { log: Logger } },
  ): Promise<undefined> {
    return new Promise((resolve) => {
      const cancel = (): void => {
        this.#cancelTimer();
        if (this.isCancelled) return;
        this.isCancelled = true;
        output.log.info("Job shutdown by user.");
        follower.cancel(new PsgdError("JOB_CANCELLED", `job ${jobId}: cancelled by its submitter`));
      };
      this.#react = () => {
        if (!canDetach) {
          cancel();
          return;
        }
        this.#react = cancel;
        output.log.info(
          "Leaving the job to the cluster; press Ctrl-C again within a second to cancel it instead.",
        );
        this.#cancelTimer = systemClock.setTimer(SECOND_PRESS_MS, () => resolve(undefined));
      };
    });
  }

  [Symbol.dispose](): void {
    this.#cancelTimer();
    process.off("SIGINT", this.#onSignal);
    process.off("SIGTERM", this.#onSignal);
  }
}
