import { describeEvent, diagnosticsOf, parseEvent, summaryOf } from './output.ts';

const shown = (line: string) => {
  const event = parseEvent(line);
  return event && describeEvent(event);
};

test.each([
  [' +  pulumi-nodejs:dynamic/local:NodeSoftware node-0-software created (0.72s) ', 'node-0: ready'],
  [' ~  pulumi-nodejs:dynamic/local:EtcdMember etcd-1-member updated (2s) [diff: ~files]', 'etcd-1: ready'],
  [' -  pulumi-nodejs:dynamic/local:Machine node-2 deleted (0.1s) ', 'node-2: removed'],
  [' +  pulumi-nodejs:dynamic/local:NodeSoftware node-0-software creating (0s) ', undefined],
  [' +  pulumi-nodejs:dynamic/local:Sandbox pod-0-0 created (0.10s) ', undefined],
  [' -  pulumi-nodejs:dynamic/local:NodeSoftware node-0-software deleted (1s) ', undefined],
  ['@ updating.....', undefined],
])('of %j a user sees %j', (line, text) => {
  expect(shown(line)).toBe(text);
});

const LOG = `Updating (x):

 +  pulumi:pulumi:Stack flannel-x creating (0s)
Diagnostics:
  pulumi-nodejs:dynamic/local:NodeSoftware (node-0-software):
    error: flanneld on node-0 does not come up: it is not ready after 60 s

  pulumi:pulumi:Stack (flannel-x):
    error: Error: update failed
        at run (/somewhere/index.js:1:2)

Outputs:
    nodes: []

Resources:
    + 3 created
    24 unchanged
    1 errored

Duration: 1m2s
`;

test('diagnosticsOf() gives what went wrong, without stack traces', () => {
  expect(diagnosticsOf(LOG)!.split('\n')).toEqual([
    '  pulumi-nodejs:dynamic/local:NodeSoftware (node-0-software):',
    '    error: flanneld on node-0 does not come up: it is not ready after 60 s',
    '  pulumi:pulumi:Stack (flannel-x):',
    '    error: Error: update failed',
  ]);
  expect(diagnosticsOf('Updating (x):\n')).toBeUndefined();
  expect(diagnosticsOf('Diagnostics:\n    error: cut off')).toBe('    error: cut off');
});

test('summaryOf() counts what was done', () => {
  expect(summaryOf(LOG)).toBe('3 created, 24 unchanged');
  expect(summaryOf('Updating (x):\n')).toBeUndefined();
});
