/** The network, groups and endpoints in somebody else's program. Shown in docs/aws.md; run by example.test.ts. */
import { parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import { FlannelNetwork } from '@flannel-ts/infra/aws/network';
import { FlannelSecurity } from '@flannel-ts/infra/aws/security';
import { Provider } from '@pulumi/aws/provider';

export function example() {
  const pods = parseNetworkConfig('{"Network": "10.244.0.0/16", "Backend": {"Type": "udp"}}');
  const providers = [new Provider('frankfurt', { region: 'eu-central-1' })];
  const network = new FlannelNetwork(
    'mine',
    {
      cidrBlock: '10.80.0.0/19',
      region: 'eu-central-1',
      zones: ['eu-central-1a', 'eu-central-1b'],
      nat: 'one',
    },
    { providers },
  );
  const security = new FlannelSecurity(
    'mine',
    {
      vpcId: network.vpcId,
      s3PrefixListId: network.s3PrefixListId,
      vpcCidr: '10.80.0.0/19',
      podCidr: '10.244.0.0/16',
      backend: pods.backend,
      internet: true,
      endpoints: false,
    },
    { providers },
  );
  return {
    vpcId: network.vpcId,
    nodesIn: network.subnetsOf('private').map(({ id }) => id),
    group: security.groups.node,
  };
}
