/** Who talks to whom in a VPC, and who was refused. */
import { LogGroup } from '@pulumi/aws/cloudwatch/logGroup';
import { FlowLog } from '@pulumi/aws/ec2/flowLog';
import { Role } from '@pulumi/aws/iam/role';
import { RolePolicy } from '@pulumi/aws/iam/rolePolicy';
import * as pulumi from '@pulumi/pulumi';
import { iamPath } from './iam.ts';
import { allow, policy, type Statement, trust } from './policy.ts';
import { stackId } from './tags.ts';

export interface FlowLogsArgs {
  readonly vpcId: pulumi.Input<string>;
  /** How long they are kept (14); one of the numbers of days that CloudWatch has. */
  readonly retentionInDays?: number;
  /** ARN of the policy that limits the role. */
  readonly permissionsBoundary?: string;
}

/** Of the service's role. */
export function flowLogStatements(groupArn: string): Statement[] {
  return [
    allow('Write', ['logs:CreateLogStream', 'logs:PutLogEvents', 'logs:DescribeLogStreams'], [`${groupArn}:*`]),
    // The service asks for groups without naming one.
    allow('Find', ['logs:DescribeLogGroups'], ['*']),
  ];
}

/** The longer of the two that there are, in seconds: a tenth of the records. */
const AGGREGATION_SECONDS = 600;

export class FlowLogs extends pulumi.ComponentResource {
  readonly logGroupName: pulumi.Output<string>;

  constructor(name: string, args: FlowLogsArgs, options?: pulumi.ComponentResourceOptions) {
    super('flannel:aws:FlowLogs', name, {}, options);
    const { vpcId, retentionInDays = 14, permissionsBoundary } = args;
    const group = new LogGroup(name, { retentionInDays }, { parent: this });
    const role = new Role(
      name,
      {
        path: iamPath(stackId()),
        assumeRolePolicy: trust('vpc-flow-logs.amazonaws.com'),
        ...(permissionsBoundary !== undefined && { permissionsBoundary }),
      },
      { parent: this },
    );
    const write = new RolePolicy(
      name,
      {
        role: role.id,
        policy: group.arn.apply((arn) => policy(flowLogStatements(arn))),
      },
      { parent: this },
    );
    new FlowLog(
      name,
      {
        vpcId,
        trafficType: 'ALL',
        logDestination: group.arn,
        iamRoleArn: role.arn,
        maxAggregationInterval: AGGREGATION_SECONDS,
      },
      { parent: this, dependsOn: [write] },
    );
    this.logGroupName = group.name;
    this.registerOutputs({ logGroupName: this.logGroupName });
  }
}
