import { describe, expect, it } from "vitest";
import { jsonOf, projectFiles } from "../support/repository.js";

const GROUPS = ["dependencies", "devDependencies", "optionalDependencies", "overrides"] as const;
const MANIFESTS = projectFiles().filter((path) => path.split("/").at(-1) === "package.json");

describe("the versions", () => {
  it.each(MANIFESTS)("that %s asks for are exact", (path) => {
    const manifest = jsonOf(path);
    const versions = GROUPS.flatMap((group) => Object.entries(manifest[group] ?? {}));
    const loose = versions.filter(
      ([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(String(version)),
    );
    expect(loose).toEqual([]);
  });
});

describe("package-lock.json", () => {
  const packages = Object.entries(jsonOf("package-lock.json")["packages"] as object) as [
    string,
    { resolved?: string; integrity?: string; link?: boolean },
  ][];

  it("names no host, so that any registry serves, and no address besides one", () => {
    const addresses = packages.flatMap(([, { resolved }]) => resolved ?? []);
    expect(addresses.filter((address) => !projectFolders().includes(address))).toEqual([]);
  });

  it("knows the hash of all that is downloaded", () => {
    const installed = packages.filter(
      ([path, { link }]) => path.includes("node_modules/") && link !== true,
    );
    expect(installed.length).toBeGreaterThan(100);
    expect(installed.filter(([, { integrity }]) => !integrity?.startsWith("sha512-"))).toEqual([]);
  });
});

function projectFolders(): string[] {
  return MANIFESTS.map((path) => path.replace(/\/?package\.json$/, ""));
}
