/** What a network is given by the daemon. */
import type { Prefix } from '@flannel-ts/inet/prefix';
import type { Netlink } from '@flannel-ts/rtnetlink/connection';
import type { Logger } from 'pino';
import type { Identity, RequiredAddress } from './backend/backend.ts';
import type { StartDataPath } from './datapath/datapath.ts';
import type { Duty } from './duty.ts';
import type { WantedRules } from './firewall/rules.ts';
import type { ServingFacts } from './operate/metrics.ts';
import type { Readiness } from './operate/readiness.ts';
import type { SubnetManager } from './subnet/manager.ts';
import type { InterfaceOptions } from './underlay/select.ts';

export interface NetworkSettings {
  readonly interface: InterfaceOptions;
  readonly subnetFile: string;
  readonly rules: WantedRules;
  readonly rulesResyncSeconds: number;
  /** -ip-blackhole-route. */
  readonly blackholeRoute: boolean;
  /** host-local's directory, where an address is reserved for the health endpoint; undefined: there is none. */
  readonly healthEndpointDir: string | undefined;
}

export interface NetworkParts {
  readonly manager: SubnetManager;
  readonly duty: Duty;
  readonly startDataPath: StartDataPath;
  /** Removes what data paths of these networks have left that nobody uses; their names. */
  readonly clearDataPaths: (networks: readonly Prefix[]) => readonly string[];
  readonly identity: Identity;
  readonly nl: Netlink;
  /** What must stay reachable whatever the network's prefix is. */
  readonly required: () => Promise<readonly RequiredAddress[]>;
  readonly readiness: Readiness;
  /** Told once, where metrics find their facts from then on. */
  readonly onServing: (facts: () => ServingFacts) => void;
  readonly log: Logger;
}
