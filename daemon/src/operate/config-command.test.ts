import { checkConfigText } from './config-command.ts';

const check = (config: object) => checkConfigText(JSON.stringify(config), 'net-conf.json', 200);

test('a config is shown as what results from it', () => {
  const { exit, output } = check({
    Network: '10.5.0.0/16',
    EnableIPv6: true,
    IPv6Network: 'fd00:5::/48',
    SubnetMin: '10.5.10.0',
    SubnetMax: '10.5.19.0',
    Backend: { Type: 'udp', Port: 8286 },
  });
  expect(exit).toBe(0);
  expect(output.split('\n')).toEqual([
    'IPv4     10.5.0.0/16: 10 subnets of length 24, from 10.5.10.0 to 10.5.19.0, each with 253 pod addresses',
    'IPv6     fd00:5::/48: 65535 subnets of length 64, from fd00:5:0:1:: to fd00:5:0:ffff::',
    'backend  udp',
    'nodes    reach each other by IPv4; UDP port 8286 has to be open between them',
    'MTU      1472 for pods where the interface between the nodes has 1500, 8973 for pods where the interface between the nodes has 9001',
    '',
  ]);
});

test('faults come after what results, with a misspelt key and the likely one', () => {
  const { exit, output } = check({ Network: '10.5.0.0/16', Backend: { Type: 'udp', Prot: 8286 } });
  expect(exit).toBe(1);
  expect(output).toMatch(
    /^IPv4 .*\n[\s\S]*\n\nFAULTS\n {2}Backend\.Prot: nothing reads this key: did you mean "Port"\?\n$/,
  );
});

test('what a daemon refuses has no result', () => {
  const { exit, output } = check({ Network: '10.5.0.0/40' });
  expect([exit, output.split('\n')[0]]).toEqual([1, 'FAULTS']);
});

test('text that is no JSON is a fault of the file', () => {
  expect(checkConfigText('{', 'net-conf.json', 200).output).toMatch(
    /^FAULTS\n {2}net-conf\.json: the text is not valid JSON/,
  );
});

test('a key that is there twice, in whatever letter case, and a byte order mark are faults beside what results', () => {
  const backend = '"Backend":{"Type":"udp","Port":8286,"port":8287,"Note":"{\\"Type\\":"}';
  const text = `\uFEFF{"Network":"10.6.0.0/16","Network":"10.5.0.0/16",${backend}}`;
  const { exit, output } = checkConfigText(text, 'net-conf.json', 200);
  expect(exit).toBe(1);
  expect(output).toMatch(/^IPv4 {5}10\.5\.0\.0\/16[\s\S]*UDP port 8287/);
  const faults = output.slice(output.indexOf('FAULTS')).trimEnd().split('\n');
  expect(faults).toEqual([
    'FAULTS',
    expect.stringContaining('net-conf.json: it begins with a byte order mark'),
    expect.stringContaining('Backend.Note: nothing reads this key'),
    '  Network: there is more than one of this key, of which the last one counts: remove the others',
    expect.stringContaining('  Backend.port: there is more than one of this key'),
  ]);
});

test('the same key in several objects is no fault', () => {
  const { exit } = checkConfigText('{"Network":"10.5.0.0/16","Backend":{"Type":"vxlan","VNI":1}}', 'f', 80);
  expect(exit).toBe(0);
});
