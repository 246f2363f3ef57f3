import { hostname, networkInterfaces } from "node:os";

/** Every machine calls itself so. */
const OWN_NAMES: readonly string[] = ["localhost", "127.0.0.1", "::1"];

/** Names by which a `worker.json` may call this machine, on whatever machine it lies. */
export function machineHosts(): string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((entries) =>
    (entries ?? []).filter(({ internal }) => !internal).map(({ address }) => address),
  );
  return [hostname(), ...addresses];
}

/** A name as others know it: `localhost` is the machine that says it, and no other. */
export function nameForOthers(host: string): string {
  return OWN_NAMES.includes(host) ? hostname() : host;
}
