/**
 * The source and destination check of the nodes of a group, which a launch template cannot switch. A parameter says how it is to
 * be; nodes follow it at their boot, and those that run when it changes.
 */
import * as pulumi from '@pulumi/pulumi';
import { LIBRARY } from './boot/scripts.ts';
import { parameterPath } from './contract.ts';
import { StackParameters } from './pki.ts';
import { runOnAll } from './run-on.ts';

export interface SourceDestCheckArgs {
  readonly stack: string;
  readonly keyArn: pulumi.Input<string>;
  /** Off where packets have pods' addresses. */
  readonly on: boolean;
}

const PARAMETER = 'source-dest-check';

/** Where a node finds how its check is to be; known before it is made. */
export function sourceDestCheckParameter(stack: string): string {
  return `${parameterPath(stack, 'node')}/${PARAMETER}`;
}

export class SourceDestCheck extends pulumi.ComponentResource {
  constructor(name: string, { stack, keyArn, on }: SourceDestCheckArgs, options?: pulumi.ComponentResourceOptions) {
    super('flannel:aws:SourceDestCheck', name, {}, options);
    const parameters = new StackParameters(this, { path: parameterPath(stack, 'node'), keyArn });
    const value = on ? 'on' : 'off';
    parameters.plain(PARAMETER, value);
    const commands = [`# source/destination check ${value}`, `${LIBRARY}/source-check`];
    runOnAll(name, { stack, role: 'node' }, commands, { parent: this, dependsOn: parameters.made });
    this.registerOutputs();
  }
}
