import type { JsonObject } from '@flannel-ts/flannel/go-json';
import { parseBridgeConfig } from './bridge-config.ts';

const parse = (conf: JsonObject, args: Record<string, string> = {}) =>
  parseBridgeConfig(conf, new Map(Object.entries(args)));

describe('parseBridgeConfig()', () => {
  test('uses cni0 and the kernel’s MTU by default', () => {
    expect(parse({})).toMatchObject({ bridge: 'cni0', mtu: undefined, isGateway: false, ipMasq: false });
  });

  test('isDefaultGateway implies isGateway', () => {
    expect(parse({ isDefaultGateway: true, isGateway: false }).isGateway).toBe(true);
  });

  test.each([68, 1450, 65535])('accepts the MTU %i (#34)', (mtu) => {
    expect(parse({ mtu }).mtu).toBe(mtu);
  });

  test.each([67, 65536, -1])('refuses the MTU %i (#34)', (mtu) => {
    expect(() => parse({ mtu })).toThrow(`invalid MTU ${mtu}`);
  });

  test('prefers the MAC of the runtime over args over CNI_ARGS (#35)', () => {
    const [a, b, c] = ['02:00:00:00:00:0a', '02:00:00:00:00:0b', '02:00:00:00:00:0c'];
    expect(parse({}, { MAC: a }).mac).toBe(a);
    expect(parse({ args: { cni: { mac: b } } }, { MAC: a }).mac).toBe(b);
    expect(parse({ args: { cni: { mac: b } }, runtimeConfig: { mac: c } }, { MAC: a }).mac).toBe(c);
  });

  test.each(['01:00:5e:00:00:01', 'ff:ff:ff:ff:ff:ff', '00:00:00:00:00:00', 'x'])('refuses the MAC %s (#35)', (MAC) => {
    expect(() => parse({}, { MAC })).toThrow(expect.objectContaining({ code: 7 }));
  });

  test('reads VLANs: one without a tag, and those of a trunk', () => {
    expect(parse({}).vlans).toBeUndefined();
    expect(parse({ vlan: 100 }).vlans).toEqual({ vlan: 100, trunk: [], preserveDefault: false });
    expect(parse({ vlanTrunk: [{ id: 101 }, { minID: 200, maxID: 210 }] } as JsonObject).vlans).toEqual({
      vlan: undefined,
      trunk: [
        [101, 101],
        [200, 210],
      ],
      preserveDefault: true,
    });
    expect(parse({ vlan: 7, preserveDefaultVlan: true }).vlans?.preserveDefault).toBe(true);
  });

  test.each([
    [{ vlan: 4095 }, 'invalid VLAN ID 4095'],
    [{ vlanTrunk: [{ minID: 5 }] }, 'simultaneously'],
    [{ vlanTrunk: [{ minID: 5, maxID: 4 }] }, 'greater than maxID'],
    [{ vlanTrunk: [{ id: 0 }] }, 'write 1 to 4094'],
    [{ ipMasqBackend: 'ipfw' }, 'unknown ipmasq backend: ipfw'],
  ])('refuses %j', (conf, message) => {
    expect(() => parse(conf as JsonObject)).toThrow(message);
  });

  test('refuses hairpin with promiscuous mode, and no container interface', () => {
    expect(() => parse({ hairpinMode: true, promiscMode: true })).toThrow('at the same time');
    expect(() => parse({ disableContainerInterface: true, ipam: { type: 'host-local' } })).toThrow('cannot use IPAM');
  });
});
