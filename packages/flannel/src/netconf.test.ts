import { checkDelegate, parseNetConf } from './netconf.ts';

describe('netconf', () => {
  test('parseNetConf() fills in flannel defaults', () => {
    expect(parseNetConf('{"name":"cni-flannel","type":"flannel"}')).toEqual({
      cniVersion: '',
      name: 'cni-flannel',
      type: 'flannel',
      subnetFile: '/run/flannel/subnet.env',
      dataDir: '/var/lib/cni/flannel',
      delegate: {},
    });
  });

  test('parseNetConf() reads every key in any letter case', () => {
    const conf = parseNetConf(
      '{"CNIVersion":"1.0.0","name":"n","type":"flannel","SubnetFile":"/s","datadir":"/d","Delegate":{"mtu":1400},' +
        '"ipam":{"type":"x"},"runtimeConfig":{"mac":"y"},"prevResult":{"ips":[]}}',
    );
    expect(conf).toEqual({
      cniVersion: '1.0.0',
      name: 'n',
      type: 'flannel',
      subnetFile: '/s',
      dataDir: '/d',
      delegate: { mtu: 1400 },
      ipam: { type: 'x' },
      runtimeConfig: { mac: 'y' },
      prevResult: { ips: [] },
    });
  });

  test.each([
    ['', 'failed to load netconf: the text is not valid JSON'],
    ['[]', 'failed to load netconf: the text is no JSON object'],
    ['{"delegate":[]}', 'failed to load netconf: delegate is []'],
    ['{"subnetFile":5}', 'failed to load netconf: subnetFile is 5'],
  ])('parseNetConf() refuses %j', (text, message) => {
    expect(() => parseNetConf(text)).toThrow(message);
  });

  test.each([
    [{ type: 5 }, "'delegate' dictionary, if present, must have (string) 'type' field"],
    [{ name: 'x' }, "'delegate' dictionary must not have 'name' field, it'll be set by flannel"],
    [{ ipam: {} }, "'delegate' dictionary must not have 'ipam' field, it'll be set by flannel"],
  ])('checkDelegate() refuses %j', (delegate, message) => {
    expect(() => checkDelegate(parseNetConf(JSON.stringify({ delegate })))).toThrow(message);
  });

  test('checkDelegate() accepts a delegate with its own type', () => {
    checkDelegate(parseNetConf('{"delegate":{"type":"ipvlan","isDefaultGateway":true}}'));
  });
});
