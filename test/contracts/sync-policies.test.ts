import { describeSyncPolicy, type SyncPolicyPromise } from "@psgd/harness";
import { SYNC_POLICIES, type SyncPolicyName } from "@psgd/sgd";

const PROMISES: Record<SyncPolicyName, SyncPolicyPromise> = {
  ssgd: { isSynchronous: true },
  asgd: { isSynchronous: false },
};

for (const name of Object.keys(SYNC_POLICIES) as SyncPolicyName[]) {
  describeSyncPolicy(name, SYNC_POLICIES[name], PROMISES[name]);
}
