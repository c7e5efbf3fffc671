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

  test.each([
    [{ vlan: 100 }, 'delegate.vlan = 100'],
    [{ vlanTrunk: [{ id: 7 }] }, 'delegate.vlanTrunk = [{"id":7}]'],
    [{ macspoofchk: true }, 'delegate.macspoofchk = true'],
    [{ ipMasq: true, ipMasqBackend: 'iptables' }, 'delegate.ipMasqBackend = "iptables"'],
  ])('answers %j with code 2, key and value', (conf, text) => {
    expect(() => parse(conf as JsonObject)).toThrow(
      expect.objectContaining({ code: 2, message: expect.stringContaining(text) }),
    );
  });

  test('refuses hairpin with promiscuous mode, and no container interface', () => {
    expect(() => parse({ hairpinMode: true, promiscMode: true })).toThrow('at the same time');
    expect(() => parse({ disableContainerInterface: true })).toThrow('cannot use IPAM');
  });
});
