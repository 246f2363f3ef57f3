/**
 * Keeps onnxruntime from reporting to its vendor what runs here; it would by default, and take an identity of this
 * machine for it. Call it before the library is loaded, and in the main thread before threads are made that load it:
 * native code does not see a thread's own copy of the environment.
 *
 * Source: github.com/microsoft/onnxruntime, pull request 27379, "Add POSIX telemetry".
 */
export function disableTelemetry(): void {
  process.env["ORT_DISABLE_TELEMETRY"] = "1";
}
