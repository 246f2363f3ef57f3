import { describeSyncPolicy, type SyncPolicyPromise } from "@psgd/harness";
import { SYNC_POLICIES, type SyncPolicy, type SyncPolicyName } from "@psgd/sgd";

const STALENESS = 2;

const PROMISES: Record<SyncPolicyName, SyncPolicyPromise> = {
  ssgd: { isSynchronous: true, maxLead: undefined },
  asgd: { isSynchronous: false, maxLead: undefined },
  ssp: { isSynchronous: false, maxLead: STALENESS },
};

for (const name of Object.keys(SYNC_POLICIES) as SyncPolicyName[]) {
  const create = ({ redundancy }: { redundancy: number }): SyncPolicy =>
    SYNC_POLICIES[name]({ nodeCount: 4, redundancy, staleness: STALENESS });
  describeSyncPolicy(name, create, PROMISES[name]);
}
