import { PARAMETER_SERVER } from "@psgd/core";
import { pack } from "@psgd/wire";
import { describe, expect, it } from "vitest";
import { nodeAddress, nodeToken, nodesOf, resultTitle, sha256, unpackPackage } from "./job.js";
import { nodeKey, packageKey, recordKey, resultKey } from "./worker-store.js";

describe("the nodes of a job", () => {
  it("are its workers, and last the parameter server if there is one", () => {
    expect(nodesOf({ nodeCount: 2, serverCodec: undefined })).toEqual([0, 1]);
    expect(nodesOf({ nodeCount: 2, serverCodec: "a.B" })).toEqual([0, 1, PARAMETER_SERVER]);
  });

  it("have names of their own in addresses and directories", () => {
    expect([nodeToken(0), nodeToken(12), nodeToken(PARAMETER_SERVER)]).toEqual([
      "node-0",
      "node-12",
      "ps",
    ]);
    expect(nodeAddress("j", PARAMETER_SERVER)).toBe("job.j.ps");
    expect(nodeKey("j", 3)).toBe("jobs/j/node-3");
    expect(recordKey("j", 3)).toBe("jobs/j/node-3/record");
    expect(resultKey("j", 3)).toBe("jobs/j/node-3/files");
    expect(packageKey("abc")).toBe("packages/abc");
  });
});

describe("the title of results", () => {
  it("is the seed's", () => {
    const spec = { nodeCount: 2, redundancy: 1, codec: "tutorial_codec.MyComCtrl" };
    expect(resultTitle(spec, 0)).toBe("N(2)-R(1)-ID(0)-CODEC(tutorial_codec.MyComCtrl)");
    expect(resultTitle(spec, PARAMETER_SERVER)).toContain("ID(-2)");
  });

  it("is a name of a file whatever the codec is called", () => {
    const spec = { nodeCount: 1, redundancy: 1, codec: "../a b/ü.$" };
    expect(resultTitle(spec, 0)).toMatch(/^[\w.()-]+$/);
  });
});

describe("packages", () => {
  it("are known by the SHA-256 of their bytes", () => {
    // FIPS 180-2, appendix B.1.
    expect(sha256(new TextEncoder().encode("abc"))).toBe(
      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    );
  });

  it("must hold an object", () => {
    expect(unpackPackage("misc_package", pack({ epochs: 2 }))).toEqual({ epochs: 2 });
    expect(() => unpackPackage("misc_package", pack(7))).toThrow(
      "WIRE_MALFORMED: misc_package: expected an object, got number",
    );
    expect(() => unpackPackage("misc_package", new Uint8Array(3))).toThrow(/^WIRE_/);
  });
});
