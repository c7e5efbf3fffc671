import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseNetConf } from '@flannel-ts/flannel/netconf';
import { parseSubnetEnv } from '@flannel-ts/flannel/subnet-env';
import { delegateType, ipamType, loadSubnetEnv, renderDelegate } from './delegate.ts';

const ENV = 'FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n';
const V6 = 'FLANNEL_IPV6_NETWORK=fd00:10::/48\nFLANNEL_IPV6_SUBNET=fd00:10:0:1::1/64\n';
const render = (conf: object, env: string | undefined = ENV) =>
  renderDelegate(
    parseNetConf(JSON.stringify({ name: 'cbr0', type: 'flannel', ...conf })),
    env === undefined ? undefined : parseSubnetEnv(env),
  );

describe('renderDelegate()', () => {
  test('is upstream scratch file, key by key (#17)', () => {
    const rendered = render({ cniVersion: '0.3.1', delegate: { hairpinMode: true, isDefaultGateway: true } });
    expect(JSON.stringify(rendered)).toBe(
      JSON.stringify({
        cniVersion: '0.3.1',
        hairpinMode: true,
        ipMasq: false,
        ipam: { ranges: [[{ subnet: '10.244.1.0/24' }]], routes: [{ dst: '10.244.0.0/16' }], type: 'host-local' },
        isDefaultGateway: true,
        isGateway: true,
        mtu: 1450,
        name: 'cbr0',
        type: 'bridge',
      }),
    );
  });

  test('has one range per family and one route per network (#18, #19, #20)', () => {
    const two = ENV.replace('10.244.0.0/16', '10.244.0.0/16,10.245.0.0/16') + V6;
    expect(render({}, two).ipam).toMatchObject({
      ranges: [[{ subnet: '10.244.1.0/24' }], [{ subnet: 'fd00:10:0:1::/64' }]],
      routes: [{ dst: '10.244.0.0/16' }, { dst: '10.245.0.0/16' }, { dst: 'fd00:10::/48' }],
    });
  });

  test('has IPv6 alone where the node has no IPv4 subnet', () => {
    const env = `${V6}FLANNEL_MTU=1452\nFLANNEL_IPMASQ=true\n`;
    expect(render({}, env)).toMatchObject({
      mtu: 1452,
      ipam: { ranges: [[{ subnet: 'fd00:10:0:1::/64' }]], routes: [{ dst: 'fd00:10::/48' }] },
    });
  });

  test('asks for masquerading exactly when the daemon does not do it (#21)', () => {
    expect(render({}).ipMasq).toBe(false);
    expect(render({}, ENV.replace('=true', '=false')).ipMasq).toBe(true);
    expect(render({ delegate: { ipMasq: true } }).ipMasq).toBe(true);
  });

  test('hands runtimeConfig on as the runtime gave it', () => {
    const runtimeConfig = { dns: { servers: ['10.96.0.10'], searches: ['svc.local'] }, portMappings: [] };
    expect(render({ delegate: { type: 'other' }, runtimeConfig }).runtimeConfig).toEqual(runtimeConfig);
    expect('runtimeConfig' in render({ delegate: { type: 'other' } })).toBe(false);
  });

  test('keeps what the user set, in any spelling', () => {
    const rendered = render({ delegate: { MTU: 1300, ISGATEWAY: false, bridge: 'br7' }, runtimeConfig: { mac: 'x' } });
    expect(rendered).toMatchObject({ MTU: 1300, ISGATEWAY: false, bridge: 'br7', runtimeConfig: { mac: 'x' } });
    expect(rendered.mtu).toBeUndefined();
    expect(rendered.isGateway).toBeUndefined();
  });

  test('sets isGateway for bridge alone (#23)', () => {
    const rendered = render({ delegate: { type: 'ptp' } });
    expect(delegateType(rendered)).toBe('ptp');
    expect(rendered.isGateway).toBeUndefined();
  });

  test('passes ipam routes and unknown keys on (#24)', () => {
    const rendered = render({ ipam: { type: 'static', routes: [{ dst: '0.0.0.0/0' }], other: { a: 1 } } });
    expect(ipamType(rendered)).toBe('static');
    expect(rendered.ipam).toMatchObject({ routes: [{ dst: '0.0.0.0/0' }, { dst: '10.244.0.0/16' }], other: { a: 1 } });
  });

  test('does without the subnet file for DEL (#45)', () => {
    const conf = parseNetConf('{"name":"cbr0","type":"flannel","ipam":{"dataDir":"/x"}}');
    const rendered = renderDelegate(conf, undefined);
    expect(rendered.ipam).toEqual({ type: 'host-local', dataDir: '/x' });
    expect(rendered.mtu).toBeUndefined();
  });

  test('does not let __proto__ through', () => {
    const conf = parseNetConf('{"name":"n","type":"flannel","delegate":{"__proto__":{"type":"evil"}}}');
    expect(delegateType(renderDelegate(conf, undefined))).toBe('bridge');
  });
});

describe('loadSubnetEnv()', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'fltest-env-'));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  test('says the sentence people search for when the file is missing (#22)', () => {
    const file = join(directory, 'absent.env');
    expect(() => loadSubnetEnv(file)).toThrow(
      expect.objectContaining({
        code: 11,
        message: `failed to load flannel 'subnet.env' file: open ${file}: no such file or directory. Check the flannel pod log for this node.`,
      }),
    );
  });

  test.each([
    ['an empty file', '', 'is missing FLANNEL_NETWORK, FLANNEL_IPV6_NETWORK, FLANNEL_SUBNET'],
    ['no MTU', ENV.replace(/FLANNEL_MTU.*\n/, ''), 'is missing FLANNEL_MTU'],
    ['no IPMASQ', ENV.replace(/FLANNEL_IPMASQ.*\n/, ''), 'is missing FLANNEL_IPMASQ'],
    ['no SUBNET', ENV.replace(/FLANNEL_SUBNET.*\n/, ''), 'is missing FLANNEL_SUBNET'],
    ['no NETWORK', ENV.replace(/FLANNEL_NETWORK.*\n/, ''), 'is missing FLANNEL_NETWORK'],
    ['a key without =', ENV.replace('FLANNEL_MTU=1450', 'FLANNEL_MTU'), 'FLANNEL_MTU has no value'],
    ['an MTU of letters', ENV.replace('1450', 'abc'), 'FLANNEL_MTU has an invalid number'],
    ['a bad CIDR', ENV.replace('10.244.1.1/24', '10.244.1/24'), 'FLANNEL_SUBNET has an invalid CIDR'],
  ])('refuses %s with code 7 (#22)', (_what, text, message) => {
    const file = join(directory, 'bad.env');
    writeFileSync(file, text);
    expect(() => loadSubnetEnv(file)).toThrow(
      expect.objectContaining({ code: 7, message: expect.stringContaining(message) }),
    );
  });

  test('accepts CRLF and trailing blanks (#22)', () => {
    const file = join(directory, 'crlf.env');
    writeFileSync(file, ENV.replaceAll('\n', ' \r\n'));
    expect(loadSubnetEnv(file)).toMatchObject({ mtu: 1450, ipMasq: true });
  });
});
