/** Interface endpoints: machines reach AWS's services without internet access. */
import { VpcEndpoint } from '@pulumi/aws/ec2/vpcEndpoint';
import * as pulumi from '@pulumi/pulumi';
import { named } from './tags.ts';

export interface FlannelEndpointsArgs {
  readonly region: string;
  readonly vpcId: pulumi.Input<string>;
  /** One in each zone. */
  readonly subnetIds: readonly pulumi.Input<string>[];
  /** FlannelSecurity.endpointGroup. */
  readonly securityGroupId: pulumi.Input<string>;
  /** As AWS names them after the region: ssm, ssmmessages, ec2, autoscaling. */
  readonly services: readonly string[];
}

export class FlannelEndpoints extends pulumi.ComponentResource {
  constructor(name: string, args: FlannelEndpointsArgs, options?: pulumi.ComponentResourceOptions) {
    super('flannel:aws:Endpoints', name, {}, options);
    for (const service of args.services) {
      new VpcEndpoint(
        `${name}-${service}`,
        {
          vpcId: args.vpcId,
          serviceName: `com.amazonaws.${args.region}.${service}`,
          vpcEndpointType: 'Interface',
          subnetIds: [...args.subnetIds],
          securityGroupIds: [args.securityGroupId],
          // The services' names resolve to the endpoint, so that programs on the machines need no configuration.
          privateDnsEnabled: true,
          tags: named(service),
        },
        { parent: this },
      );
    }
    this.registerOutputs();
  }
}

/**
 * What machines ask. Session Manager's messages go through ssmmessages; etcd's members ask EC2 which nodes there are, and a node of a
 * group has it switch its source and destination check, and tells Auto Scaling that it is ready.
 */
export function endpointServices(inGroup: boolean): string[] {
  return ['ssm', 'ssmmessages', 'ec2', ...(inGroup ? ['autoscaling'] : [])];
}
