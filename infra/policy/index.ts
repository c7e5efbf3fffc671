/** `pulumi preview --policy-pack infra/policy`: each of these refuses what does not keep to it. */
import { PolicyPack } from '@pulumi/policy';
import { POLICIES, toPulumi } from './pack.ts';

new PolicyPack('flannel', { policies: toPulumi(POLICIES), enforcementLevel: 'mandatory' });
