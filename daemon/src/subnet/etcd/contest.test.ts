import { remedyOf } from '../../operate/remedies.ts';
import { describeContest } from './contest.ts';

const overwritten = {
  subnets: '10.5.1.0/24',
  address: '10.64.0.16',
  key: '/coreos.com/network/subnets/10.5.1.0-24',
  value: '{"x":"rm -rf /var"}',
};

test('what another wrote is shown, and never as the command that mends it', () => {
  for (const why of ['unreadable', 'overwritten'] as const) {
    const { trouble, remedy } = describeContest(why, overwritten);
    expect(trouble).toContain('rm -rf /var');
    expect(remedyOf('lease', trouble, {})).not.toContain('rm -rf');
    expect(remedy).toContain('find who writes /coreos.com/network/subnets/10.5.1.0-24');
  }
});

test('two nodes of one public address are told to have one each', () => {
  const { trouble, remedy } = describeContest('same address', overwritten);
  expect(trouble).toContain("this node's public address 10.64.0.16");
  expect(remedy).toContain('-public-ip');
});
