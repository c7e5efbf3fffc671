import { parseNetworkConfig } from '@flannel-ts/flannel/network-config';
import { pino } from 'pino';
import { EngineSwitch } from './engine-switch.ts';

const config = (backend: object, network = '10.5.0.0/16') =>
  parseNetworkConfig(JSON.stringify({ Network: network, Backend: { Type: 'udp', ...backend } }));

function made(flags = {}, first = config({})) {
  const lines: string[] = [];
  const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line).msg) });
  return { lines, engines: new EngineSwitch(flags, first, log) };
}

test('take() gives the settings of a config that changes them, and only then', () => {
  const { engines, lines } = made({}, config({ Engine: 'fast' }));
  expect(engines.current).toEqual({ engine: 'fast', offload: true, busyPollUs: 50, queues: 1, sourcePorts: 1 });
  expect(engines.take(config({ Engine: 'fast', Offload: true }))).toBeUndefined();
  expect(engines.take(config({ Engine: 'reference' }))).toMatchObject({ engine: 'reference' });
  expect(engines.current).toMatchObject({ engine: 'reference' });
  expect(engines.take(config({ Engine: 'reference' }))).toBeUndefined();
  expect(engines.take(config({ Engine: 'reference', SourcePorts: 2 }))).toMatchObject({ sourcePorts: 2 });
  expect(lines).toEqual([]);
});

test('take() leaves a setting alone that a flag has made', () => {
  const { engines } = made({ engine: 'fast' });
  expect(engines.take(config({ Engine: 'reference' }))).toBeUndefined();
  expect(engines.take(config({ Engine: 'reference', Offload: false }))).toEqual({
    engine: 'fast',
    offload: false,
    busyPollUs: 50,
    queues: 1,
    sourcePorts: 1,
  });
});

test.each([
  ['the network', config({}, '10.6.0.0/16')],
  ['Mode', config({ Mode: 'ipv4' })],
])('take() says once that a change of %s waits for a restart', (_, changed) => {
  const { engines, lines } = made();
  for (let times = 0; times < 2; times++) expect(engines.take(changed)).toBeUndefined();
  expect(lines).toEqual(['The network config has changed: it takes effect when flanneld is restarted']);
});
