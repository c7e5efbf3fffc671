import { tryRead } from '@flannel-ts/linux/files';
import type { StartEngine } from '../../../src/datapath/tun/engine/engine.ts';
import { type LabOptions, until } from '../lab.ts';
import { ipv4Packet } from '../packets.ts';
import { aged, Bench, configOf, route } from './bench.ts';

/** How an engine starts, ends, fails, and what it survives. */
export function describeLife(start: StartEngine, options?: LabOptions): void {
  describe('in its life', () => {
    const bench = new Bench(start, options);
    beforeAll(() => bench.setUp());
    afterAll(() => bench.tearDown());
    afterEach(() => bench.stop());

    describeStop(bench);
    describeAbort(bench, start);
    describeSurvival(bench);
  });

  describe('when the device is deleted', () => {
    const bench = new Bench(start, options);
    beforeAll(() => bench.setUp());
    afterAll(() => bench.tearDown());

    test('failed settles, and stop() and counters() still work', async () => {
      const engine = await bench.run();
      bench.node.deleteDevice();
      await expect(engine.failed).resolves.toMatchObject({ name: 'EngineError', code: 'DESCRIPTOR_LOST' });
      engine.setRoutes([]);
      await bench.stop();
      expect(engine.counters().tunPackets).toBeGreaterThan(0);
    });

    test('no engine starts on it, or it fails at once', async () => {
      const failure = await start(configOf(bench.node)).then(
        (engine) => engine.failed,
        (error: unknown) => error,
      );
      expect(failure).toBeInstanceOf(Error);
    });
  });
}

/** Shows that nobody reads the device or the socket: what is put into them can still be read here. */
async function expectUntouched(bench: Bench): Promise<void> {
  const packet = bench.emit({ identification: 4242 });
  const buffer = new Uint8Array(2000);
  const length = await until(() => {
    const got = tryRead(bench.node.tunFd, buffer);
    return got >= 0 ? got : undefined;
  }, 'the packet that nobody else has read');
  expect(buffer.subarray(bench.node.headerBytes, length)).toEqual(packet);
  const own = bench.lab.udpOn(bench.node.socketFd);
  const datagram = bench.inject({ identification: 4243 });
  expect((await own.receive()).bytes).toEqual(datagram);
}

function describeStop(bench: Bench): void {
  test('stop() ends the use of the descriptors, and leaves them open', async () => {
    const engine = await bench.run();
    await engine.stop();
    await expectUntouched(bench);
  });

  test('stop() may be called again, and at the same time', async () => {
    const engine = await bench.run();
    await Promise.all([engine.stop(), engine.stop()]);
    await engine.stop();
  });

  test('setRoutes() and counters() do no harm after stop()', async () => {
    const engine = await bench.run();
    bench.emit();
    await bench.peer.receive();
    await engine.stop();
    engine.setRoutes([route('10.7.0.0/24', bench.peerAddress)]);
    expect(engine.counters().sentPackets).toBe(1);
  });

  test('failed does not settle by stop()', async () => {
    const engine = await bench.run();
    let settled = false;
    void engine.failed.then(() => {
      settled = true;
    });
    await engine.stop();
    await new Promise((resolve) => setImmediate(resolve));
    expect(settled).toBe(false);
  });

  test('another engine takes over the same descriptors, with counters of its own', async () => {
    await bench.run();
    bench.emit();
    await bench.peer.receive();
    await bench.stop();
    const engine = await bench.run();
    await bench.nothingElse();
    // A packet may be received before the engine has counted it.
    const sent = bench.options?.twoWays ? 3 : 2;
    await until(() => engine.counters().sentPackets >= sent, 'the engine to count');
    expect(engine.counters().sentPackets).toBe(sent);
  });

  test('packets that wait before its start meet the routes that it is started with', async () => {
    await bench.run();
    await bench.stop();
    const waiting = Array.from({ length: 100 }, (_, identification) => ({ identification }));
    const out = waiting.map((fields) => bench.emit(fields));
    for (const fields of waiting) bench.inject(fields);
    const others = Array.from({ length: 10_000 }, (_, i) =>
      route(`10.128.${i >> 6}.${(i & 63) * 4}/30`, bench.addressOf(9)),
    );
    const routes = [...others, route('10.2.0.0/24', bench.peerAddress)];
    bench.engine = await bench.start(configOf(bench.node, { routes }));
    for (const packet of out) expect((await bench.peer.receive()).bytes).toEqual(aged(packet));
    await bench.counted(waiting.length, waiting.length);
    expect(bench.engine.counters().dropped).toMatchObject({ no_route: 0, unknown_peer: 0, spoofed_source: 0 });
    for (let i = 0; i < waiting.length; i++) await bench.device.receive();
  });

  test('starts without routes and answers that there is none', async () => {
    await bench.run();
    await bench.stop();
    bench.engine = await bench.start(configOf(bench.node));
    bench.emit();
    expect((await bench.device.receive())[20]).toBe(3);
  });
}

function describeAbort(bench: Bench, start: StartEngine): void {
  test('does not start when aborted before', async () => {
    const reason = new Error('On purpose');
    await expect(start(configOf(bench.node), AbortSignal.abort(reason))).rejects.toMatchObject({
      code: 'ABORTED',
      cause: reason,
    });
    await expectUntouched(bench);
  });

  test('does not start when aborted meanwhile', async () => {
    const controller = new AbortController();
    const starting = start(configOf(bench.node), controller.signal);
    controller.abort();
    await expect(starting).rejects.toMatchObject({ code: 'ABORTED' });
    await expectUntouched(bench);
  });

  test('stops when aborted after', async () => {
    const controller = new AbortController();
    const engine = await start(configOf(bench.node), controller.signal);
    controller.abort();
    await engine.stop();
    await expectUntouched(bench);
  });
}

function describeSurvival(bench: Bench): void {
  test('goes on after the device was down', async () => {
    await bench.run();
    bench.node.run('ip', 'link', 'set', 'flannel0', 'down');
    bench.inject();
    // Programs give it to the kernel, which counts it at the device.
    if (!bench.options?.twoWays)
      await until(() => bench.engine!.counters().dropped.write_failed === 1, 'a failed write');
    bench.node.run('ip', 'link', 'set', 'flannel0', 'up');
    bench.device.tryReceive(); // takes ENETDOWN off the test's own socket
    await bench.nothingElse();
  });

  test('goes on after the underlay was down', async () => {
    await bench.run();
    bench.node.run('ip', 'link', 'set', 'eth0', 'down');
    bench.emit();
    await until(() => bench.engine!.counters().dropped.send_failed === 1, 'a failed send');
    bench.node.run('ip', 'link', 'set', 'eth0', 'up');
    await bench.catchUp();
    await bench.nothingElse();
  });

  test('goes on after datagrams to a port where nobody listens', async () => {
    await bench.run();
    bench.lab.addAddress(bench.other.netns, 66);
    await bench.setRoutes(route('10.2.0.0/24', bench.peerAddress), route('10.6.0.0/24', bench.addressOf(66)));
    for (let i = 0; i < 5; i++) bench.emit({ to: '10.6.0.1' });
    await bench.nothingElse();
  });

  test('loses and reorders nothing that fits the queues, in both directions at once', async () => {
    await bench.run();
    const size = 40;
    for (let round = 0; round < 25; round++) {
      const marks = Array.from({ length: size }, (_, i) => ({ identification: round * size + i }));
      const out = marks.map((mark) => {
        bench.inject(mark);
        return bench.emit(mark);
      });
      for (const packet of out) expect((await bench.peer.receive()).bytes).toEqual(aged(packet));
      for (const { identification } of marks) {
        expect(await bench.device.receive()).toEqual(
          aged(ipv4Packet({ from: '10.2.0.2', to: '10.1.0.77', identification })),
        );
      }
    }
    await bench.counted(1000, 1000);
    const { sentPackets, deliveredPackets } = bench.engine!.counters();
    expect([sentPackets, deliveredPackets]).toEqual([1000, 1000]);
  });
}
