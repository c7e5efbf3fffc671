import { closeFd, O_RDONLY, openFile } from '@flannel-ts/linux/files';
import { pino } from 'pino';
import { openDescriptorStore } from './descriptors.ts';

const PID = String(process.pid);

function made(environment: NodeJS.ProcessEnv, fail = false) {
  const told: (readonly [string, readonly number[]])[] = [];
  const lines: string[] = [];
  const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line).msg) });
  const store = openDescriptorStore(log, undefined, environment, (state, descriptors) => {
    if (fail) throw new Error('no systemd');
    told.push([state, descriptors]);
  });
  return { store, told, lines };
}

/** Three in a row that are surely open: systemd gives descriptors from 3 on. */
const given = (names: string, more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({
  LISTEN_PID: PID,
  LISTEN_FDS: String(names.split(':').length),
  LISTEN_FDNAMES: names,
  ...more,
});

test('take() gives what systemd has for this process, by name, once', () => {
  const environment = given('web:flannel-device:flannel-socket');
  const { store } = made(environment);
  expect(store.take('socket')).toBe(5);
  expect(store.take('socket')).toBeUndefined();
  expect(store.take('device')).toBe(4);
  expect(store.take('web')).toBeUndefined();
  expect(environment).toEqual({});
});

test.each([
  ['another process', given('flannel-device', { LISTEN_PID: '1' })],
  ['nobody', {}],
  ['none by number', given('flannel-device', { LISTEN_FDS: '0' })],
])('take() gives nothing that is for %s', (_, environment) => {
  expect(made(environment).store.take('device')).toBeUndefined();
});

test('keep() replaces what was kept under a name, and forget() ends it', () => {
  const { store, told } = made({});
  store.keep('device', 7);
  store.forget('device');
  expect(told).toEqual([
    ['FDSTOREREMOVE=1\nFDNAME=flannel-device', []],
    ['FDSTORE=1\nFDNAME=flannel-device\nFDPOLL=0', [7]],
    ['FDSTOREREMOVE=1\nFDNAME=flannel-device', []],
  ]);
});

test('a store that cannot be reached is a warning', () => {
  const { store, lines } = made({}, true);
  store.forget('device');
  expect(lines).toEqual(['Cannot tell systemd what to keep for the next start: no systemd']);
});

test('closeRest() closes what nobody took, and has it forgotten', () => {
  const fd = openFile('/dev/null', O_RDONLY);
  const names = [...Array<string>(fd - 3).fill('web'), 'flannel-device'];
  const { store, told } = made(given(names.join(':')));
  store.closeRest();
  expect(() => closeFd(fd)).toThrow(expect.objectContaining({ code: 'EBADF' }));
  expect(told).toEqual([['FDSTOREREMOVE=1\nFDNAME=flannel-device', []]]);
});
