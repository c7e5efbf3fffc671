/** What may come in and go out. */
import { parsePrefix, prefixCovers } from '@flannel-ts/inet/prefix';
import { type Props, resourcePolicy, unless } from './rule.ts';

/** RFC 1918, and the shared range of RFC 6598 that VPCs use for more addresses. */
const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10'].map((range) => parsePrefix(range));
const HTTPS = 443;
const SSH = 22;
const SHORTEST_REASON = 10;

type Rule = Props<'aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule'>;

/** The range that is not private, or undefined. */
function publicRange({ cidrIpv4, cidrIpv6 }: Rule): string | undefined {
  if (cidrIpv4 !== undefined) {
    const range = parsePrefix(cidrIpv4, 4);
    return PRIVATE.some((own) => prefixCovers(own, range)) ? undefined : cidrIpv4;
  }
  // RFC 4193: fc00::/7.
  return cidrIpv6 === undefined || /^f[cd]/i.test(cidrIpv6) ? undefined : cidrIpv6;
}

export const noPublicIngress = resourcePolicy(
  'no-public-ingress',
  'Nothing outside of private ranges may begin a conversation with a machine.',
  {
    'aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule': (rule) => {
      const range = publicRange(rule);
      return unless(range === undefined, `Lets in ${range}: name a security group, or a private range`);
    },
  },
);

export const reasonedEgress = resourcePolicy(
  'reasoned-egress',
  'Only HTTPS leaves the private ranges, except from nodes, whose pods reach what they like.',
  {
    'aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule': (rule, { tags }) => {
      const range = publicRange(rule);
      const https = rule.ipProtocol === 'tcp' && rule.fromPort === HTTPS && rule.toPort === HTTPS;
      const ofNodes = tags?.['flannel:role'] === 'node';
      return unless(
        range === undefined || https || ofNodes,
        `Lets more than HTTPS out to ${range}: narrow it to tcp ${HTTPS}, or name a security group or a private range`,
      );
    },
  },
);

const described = ({ description = '' }: { description?: string | undefined }) =>
  unless(description.length >= SHORTEST_REASON, `Has no reason: say in "description" what it is for`);

export const describedRules = resourcePolicy(
  'described-rules',
  'Every rule of a security group says what it is for, and every group whose it is.',
  {
    'aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule': described,
    'aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule': described,
    'aws:ec2/securityGroup:SecurityGroup': ({ description }) =>
      unless(
        description !== undefined && description !== 'Managed by Pulumi',
        'Has no "description": say whose group it is (another one would replace the group later)',
      ),
  },
);

const noInlineRules = ({ ingress, egress }: { ingress?: unknown[] | undefined; egress?: unknown[] | undefined }) =>
  unless(
    (ingress?.length ?? 0) + (egress?.length ?? 0) === 0,
    'Has rules of its own: make each a SecurityGroupIngressRule or SecurityGroupEgressRule, with its reason',
  );

export const rulesAsResources = resourcePolicy(
  'rules-as-resources',
  'Rules are resources of their own, never inside of groups; a default group has none.',
  {
    'aws:ec2/securityGroup:SecurityGroup': noInlineRules,
    'aws:ec2/defaultSecurityGroup:DefaultSecurityGroup': noInlineRules,
    'aws:ec2/securityGroupRule:SecurityGroupRule': () => [
      'Is of the old kind, which fights with the new one: use SecurityGroupIngressRule or SecurityGroupEgressRule',
    ],
  },
);

const noKeyName = ({ keyName }: { keyName?: string | undefined }) =>
  unless(keyName === undefined, `Has the key pair ${keyName}: Session Manager reaches it without`);

export const noSsh = resourcePolicy('no-ssh', 'Machines are reached by Session Manager: no port 22, no key pairs.', {
  'aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule': ({ ipProtocol, fromPort = 0, toPort = 65_535 }) =>
    unless(
      !(['tcp', '6'].includes(ipProtocol) && fromPort <= SSH && toPort >= SSH),
      `Opens port ${SSH}: use Session Manager`,
    ),
  'aws:ec2/keyPair:KeyPair': () => ['Is a key pair: Session Manager needs none'],
  'aws:ec2/instance:Instance': noKeyName,
  'aws:ec2/launchTemplate:LaunchTemplate': noKeyName,
});

export const noPublicAddresses = resourcePolicy('no-public-addresses', 'No machine has an address on the internet.', {
  'aws:ec2/instance:Instance': ({ associatePublicIpAddress }) =>
    unless(associatePublicIpAddress !== true, 'Has a public address: a NAT gateway or an endpoint is its way out'),
  'aws:ec2/launchTemplate:LaunchTemplate': ({ networkInterfaces = [] }) =>
    unless(
      networkInterfaces.every(({ associatePublicIpAddress }) => associatePublicIpAddress !== 'true'),
      'Gives machines public addresses: a NAT gateway or an endpoint is their way out',
    ),
  'aws:ec2/subnet:Subnet': ({ mapPublicIpOnLaunch }) =>
    unless(mapPublicIpOnLaunch !== true, 'Gives every machine in it a public address'),
});
