import { parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import { EngineSwitch } from './engine-switch.ts';

const config = (backend: object, network = '10.5.0.0/16') =>
  parseNetworkConfig(JSON.stringify({ Network: network, Backend: { Type: 'udp', ...backend } }));

const made = (flags = {}, first = config({})) => new EngineSwitch(flags, first);

test('take() gives the settings of a config that changes them, and only then', () => {
  const engines = made({}, config({ Engine: 'fast' }));
  expect(engines.current).toEqual({ engine: 'fast', offload: true, busyPollUs: 50, queues: 1, sourcePorts: 1 });
  expect(engines.take(config({ Engine: 'fast', Offload: true }))).toBeUndefined();
  expect(engines.take(config({ Engine: 'reference' }))).toMatchObject({ engine: 'reference' });
  expect(engines.current).toMatchObject({ engine: 'reference' });
  expect(engines.take(config({ Engine: 'reference' }))).toBeUndefined();
  expect(engines.take(config({ Engine: 'reference', SourcePorts: 2 }))).toMatchObject({ sourcePorts: 2 });
});

test('take() leaves a setting alone that a flag has made', () => {
  const engines = made({ engine: 'fast' });
  expect(engines.take(config({ Engine: 'reference' }))).toBeUndefined();
  expect(engines.take(config({ Engine: 'reference', Offload: false }))).toEqual({
    engine: 'fast',
    offload: false,
    busyPollUs: 50,
    queues: 1,
    sourcePorts: 1,
  });
});
