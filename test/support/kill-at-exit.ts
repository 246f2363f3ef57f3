const pending = new Set<() => void>();

process.on("exit", () => {
  for (const kill of pending) kill();
});

/**
 * Ends a child with this process, where a test that timed out has not ended it before.
 * @returns takes it back
 */
export function killAtExit(kill: () => void): () => void {
  pending.add(kill);
  return () => pending.delete(kill);
}
