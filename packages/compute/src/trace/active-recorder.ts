import type { Recorder } from "./recorder.js";

let active: Recorder | undefined;

/** The recorder of the trace that is going on in this thread; TensorFlow.js's engine is global, so there is one at most. */
export function activeRecorder(): Recorder | undefined {
  return active;
}

export function setActiveRecorder(recorder: Recorder | undefined): void {
  active = recorder;
}
