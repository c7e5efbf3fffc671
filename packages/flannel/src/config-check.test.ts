import { checkNetworkConfig } from './config-check.ts';
import { FlannelError } from './errors.ts';
import { parseNetworkConfig } from './network-config.ts';

const check = (config: object) => checkNetworkConfig(JSON.stringify(config));
const faults = (config: object) => check(config).faults.map(({ key, reason }) => `${key}: ${reason}`);

test('a config without a fault is what the daemon reads', () => {
  const json = '{"network":"10.5.0.0/16","Backend":{"type":"UDP","port":8286}}';
  expect(checkNetworkConfig(json)).toEqual({ config: parseNetworkConfig(json), faults: [] });
});

test('every fault is reported with the path of its key', () => {
  expect(
    faults({
      Network: '10.5.0.0/16',
      SubnetLen: 17,
      SubnetMin: '10.6.0.0',
      SubnetMax: 7,
      EnableIPv6: true,
      EnableNFTables: 'yes',
      Backend: { Type: 'udp', Port: '8285', Queues: 99, Mode: 'ipv5' },
    }),
  ).toEqual([
    'EnableNFTables: EnableNFTables is "yes": write true or false, without quotes',
    'SubnetLen: network must be able to accommodate at least four subnets: SubnetLen 17 in 10.5.0.0/16, write SubnetLen 18 or more or a larger Network',
    'SubnetMax: SubnetMax is 7: write a string',
    'SubnetMin: SubnetMin is not in the range of the Network: 10.6.0.0 is outside 10.5.0.0/16',
    'IPv6Network: please define a correct IPv6Network parameter in the flannel config, like "IPv6Network": "fd00:244::/48"',
    'Backend.Mode: Mode: "ipv5" is no mode of udp, use one of ipv4, ipv6',
    'Backend.Port: Port is "8285": write a whole number from 0 to 65535, without quotes',
    'Backend.Queues: Queues is 99: write a whole number from 1 to 16, without quotes',
  ]);
});

test('a misspelt key is reported with the likely one, in the backend as well', () => {
  const { config, faults } = check({ Network: '10.5.0.0/16', SubnetLength: 24, Backend: { Type: 'udp', Prot: 1 } });
  expect(config?.pools[4]?.subnetLength).toBe(24);
  expect(faults).toEqual([
    { key: 'SubnetLength', reason: 'nothing reads this key: did you mean "SubnetLen"?' },
    { key: 'Backend.Prot', reason: 'nothing reads this key: did you mean "Port"?' },
  ]);
});

test.each([
  [{ Netwrok: '10.5.0.0/16' }, ['Netwrok', 'Network']],
  [{ Network: '10.5.0.0/16', Backend: { Type: 'vxlna', VNI: 0 } }, ['Backend.Type']],
  [{ Network: '10.5.0.0/16', Backend: { Type: 'extension' } }, ['Backend.Type']],
  [{ Network: '10.5.0.0/16', Backend: 'udp' }, ['Backend']],
  [{ EnableIPv4: false, Backend: { Type: 'udp', Port: -1 } }, ['EnableIPv4', 'Backend.Port']],
  [{ Network: '10.5.0.0/40', SubnetLen: 24, Backend: { Type: 'udp', Port: -1 } }, ['Network', 'Backend.Port']],
  [{ EnableIPv6: true, EnableIPv4: false, IPv6Network: 'fd00::/48', Backend: { Type: 'ipip' } }, ['Backend.Type']],
])('%j has faults at %j', (config, keys) => expect(check(config).faults.map(({ key }) => key)).toEqual(keys));

test('what is no JSON object is one fault of the whole', () => {
  expect(checkNetworkConfig('{"Network":').faults).toMatchObject([{ key: '' }]);
  expect(checkNetworkConfig('[]').faults).toEqual([{ key: '', reason: 'the text is no JSON object but []' }]);
});

test('a pre-shared key is in no fault', () => {
  const secret = 'c2VjcmV0';
  const config = { Network: '10.5.0.0/16', Backend: { Type: 'wireguard', PSK: secret, MTU: 'x' } };
  expect(JSON.stringify(check(config))).not.toContain(secret);
});

test('every error of parseNetworkConfig() says where the fault is', () => {
  for (const json of ['', '{}', '{"Network":1}', '{"Network":"10.5.0.0/16","Backend":{"Type":"gce"}}']) {
    const error: unknown = (() => {
      try {
        return parseNetworkConfig(json);
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toBeInstanceOf(FlannelError);
    expect((error as FlannelError).fault).toBeDefined();
  }
});
