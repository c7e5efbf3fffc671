import { type GroupDescription, judge } from './group-state.ts';

/** "2 InService Healthy" */
function group(...instances: readonly string[]): GroupDescription {
  return {
    DesiredCapacity: 2,
    Instances: instances.map((text, i) => {
      const [Version = '', LifecycleState = '', HealthStatus = 'Healthy'] = text.split(' ');
      return { InstanceId: `i-${i}`, LifecycleState, HealthStatus, LaunchTemplate: { Version } };
    }),
  };
}

const SERVING = group('2 InService', '2 InService');
const MIXED = group('2 InService', '1 InService');

describe('judge()', () => {
  test.each([
    ['machines of the version are in service', SERVING, [], 'settled'],
    ['a refresh has ended with them', SERVING, [{ Status: 'Successful' }], 'settled'],
    ['a refresh goes on, though they look well', SERVING, [{ Status: 'InProgress' }], 'under way'],
    ['it goes back', MIXED, [{ Status: 'RollbackInProgress' }, { Status: 'Successful' }], 'under way'],
    ['one is still to come', group('2 InService'), [], 'under way'],
    ['one is not ready', group('2 InService', '2 Pending:Wait'), [], 'under way'],
    ['one is ill', group('2 InService', '2 InService Unhealthy'), [], 'under way'],
    ['one more is still going', group('2 InService', '2 InService', '2 Terminating:Wait'), [], 'under way'],
  ])('while %s', (_, described, refreshes, state) => {
    expect(judge(described, refreshes, '2')).toMatchObject({ state });
  });

  test('tells machines of another version that nobody replaces', () => {
    const reason = '1 of 2 nodes are not of version 2 of the launch template: i-1';
    expect(judge(MIXED, [{ Status: 'Successful' }], '2')).toEqual({ state: 'idle', reason });
    expect(judge(MIXED, [], '2')).toEqual({ state: 'idle', reason });
  });

  test.each(['Failed', 'RollbackSuccessful', 'RollbackFailed', 'Cancelled'])(
    'calls a refresh that ended as %s failed',
    (Status) => {
      const judged = judge(group('1 InService', '1 InService'), [{ Status, StatusReason: 'because' }], '2');
      expect(judged).toMatchObject({
        state: 'failed',
        reason: expect.stringContaining(`ended as ${Status} (because)`),
      });
    },
  );
});
