import type { JsonObject } from '@flannel-ts/flannel/go-json';
import { parseInterfaceAddress } from '@flannel-ts/inet/prefix';
import { parseBandwidth } from './bandwidth.ts';
import { parsePortSettings } from './port-config.ts';
import { portElements } from './ports.ts';

const parse = (conf: unknown) => parsePortSettings(conf as JsonObject);
const OWNER = { attachment: 'veth0123456789a', network: 'abc' };
const ADDRESSES = ['10.244.1.5/24', '10.244.1.6/24', 'fd00::5/64'].map((text) => parseInterfaceAddress(text));
const elements = (conf: unknown) =>
  portElements(OWNER, parse(conf), ADDRESSES).map(({ set, element: { key, data } }) => {
    const to = data !== undefined && 'kind' in data ? JSON.stringify(data) : data?.join(' . ');
    return `${set.name}: ${key.join(' . ')} -> ${to}`;
  });

describe('parsePortSettings()', () => {
  test('takes capabilities as runtimes write them', () => {
    const portMappings = [
      { hostPort: 80, containerPort: 8080, protocol: 'UDP', hostIP: '' },
      { hostPort: 1, containerPort: 2 },
    ];
    expect(parse({ runtimeConfig: { portMappings, bandwidth: null } })).toEqual({
      mappings: [
        { hostPort: 80, containerPort: 8080, protocol: 'udp' },
        { hostPort: 1, containerPort: 2, protocol: 'tcp' },
      ],
      snat: true,
      masqAll: false,
    });
    expect(parse({ runtimeConfig: { portMappings: null } }).mappings).toEqual([]);
  });

  test.each([
    [{ markMasqBit: 5 }, 'unsupported field: markMasqBit = 5'],
    [{ conditionsV4: ['-s', '10.0.0.0/8'] }, 'unsupported field: conditionsV4 = ["-s","10.0.0.0/8"]'],
    [{ backend: 'ipvs' }, 'unknown backend: ipvs'],
    [{ markMasqBit: 32 }, 'MasqMarkBit must be between 0 and 31'],
    [
      { markMasqBit: 13, externalSetMarkChain: 'KUBE-MARK-MASQ' },
      'Cannot specify externalSetMarkChain and markMasqBit',
    ],
  ])('refuses %j', (conf, message) => {
    expect(() => parse(conf)).toThrow(message);
  });

  test('takes what says only how', () => {
    expect(parse({ backend: 'iptables', markMasqBit: 13, conditionsV4: [], externalSetMarkChain: '' }).snat).toBe(true);
  });
});

describe('portElements()', () => {
  const runtimeConfig = {
    portMappings: [
      { hostPort: 80, containerPort: 8080 },
      { hostPort: 53, containerPort: 53, protocol: 'udp', hostIP: 'fd01::1' },
    ],
  };

  test('are for the first address of each family', () => {
    expect(elements({ runtimeConfig, snat: false })).toEqual([
      'ports4: tcp . 80 -> 10.244.1.5 . 8080',
      'ports6: tcp . 80 -> fd00::5 . 8080',
      'host_ports6: fd01::1 . udp . 53 -> fd00::5 . 53',
    ]);
  });

  test('with snat, name the chain that marks', () => {
    expect(elements({ runtimeConfig })).toContain('marks4: tcp . 80 -> {"kind":"jump","target":"mark_10.244.1.0_24"}');
    expect(elements({ runtimeConfig, masqAll: true })).toContain(
      'host_marks6: fd01::1 . udp . 53 -> {"kind":"jump","target":"mark_all"}',
    );
  });

  test('of two for one port the last one holds', () => {
    const twice = { portMappings: [1, 2].map((containerPort) => ({ hostPort: 80, containerPort })) };
    expect(elements({ runtimeConfig: twice, snat: false })[0]).toBe('ports4: tcp . 80 -> 10.244.1.5 . 2');
  });
});

describe('parseBandwidth()', () => {
  test('counts bits of the runtime as bytes, and lets packets wait for 25 ms', () => {
    const bandwidth = { ingressRate: 8_000_000, ingressBurst: 4294967295 };
    expect(parseBandwidth({ runtimeConfig: { bandwidth } })).toEqual({
      ingress: { rate: 1_000_000, burst: 536_870_911, limit: 536_895_911 },
      egress: undefined,
    });
  });

  test('the configuration goes before the runtime, and no limit is none', () => {
    const bandwidth = { ingressRate: 8_000_000, ingressBurst: 8_000 };
    expect(parseBandwidth({ egressRate: 80, egressBurst: 80, runtimeConfig: { bandwidth } })?.ingress).toBeUndefined();
    expect(parseBandwidth({ runtimeConfig: { bandwidth: {} } })).toBeUndefined();
    expect(parseBandwidth({})).toBeUndefined();
  });
});
