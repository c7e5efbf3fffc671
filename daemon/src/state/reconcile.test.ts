import { RTPROT_FLANNEL } from '@flannel-ts/flannel/defaults';
import { parseInterfaceAddress, parsePrefix } from '@flannel-ts/inet/prefix';
import { pino } from 'pino';
import type { ActualLink, ActualRoute, ActualState } from './actual.ts';
import { type Change, describeChange } from './change.ts';
import type { DesiredState } from './desired.ts';
import { Reconciler, type StateKernel } from './reconcile.ts';

const desired: DesiredState = {
  links: [{ name: 'flannel0', kind: 'tun', mtu: 1472, addresses: [parseInterfaceAddress('10.5.1.0/32')] }],
  routes: [{ type: 'unicast', dst: parsePrefix('10.5.0.0/16'), link: 'flannel0' }],
  complete: true,
};

const NOTHING: ActualState = { links: [], routes: [], neighbours: [], fdb: [], leftovers: [] };

/** A kernel that can forget things and refuse them. */
class FakeKernel implements StateKernel {
  state: ActualState = NOTHING;
  readonly applied: string[] = [];
  refuse: Change['type'] | undefined;
  leftovers = ['flannel.1'];

  makeLink = async () => {
    const link: ActualLink = {
      name: 'flannel0',
      index: 1,
      mtu: 1500,
      up: false,
      arp: true,
      addresses: [],
      attributes: { kind: 'tun' },
    };
    this.state = { ...this.state, links: [link] };
  };
  read = () => this.state;
  apply = (changes: readonly Change[]) => changes.map((change) => this.applyOne(change));
  removeLeftovers = () => this.leftovers.splice(0);

  private applyOne(change: Change): Error | undefined {
    if (change.type === this.refuse) return new Error(`Cannot ${describeChange(change)}`);
    this.applied.push(describeChange(change));
    const [link] = this.state.links;
    if (change.type === 'add-address') {
      this.state = { ...this.state, links: [{ ...link!, addresses: [change.address] }] };
    } else if (change.type === 'set-link') {
      this.state = { ...this.state, links: [{ ...link!, up: true, mtu: 1472 }] };
    } else if (change.type === 'add-route') {
      this.state = {
        ...this.state,
        routes: [{ ...(change.route as ActualRoute), metric: 0, protocol: RTPROT_FLANNEL }],
      };
    }
    return undefined;
  }
}

function reconciler(kernel: FakeKernel, overrides = {}, timings = { fullMs: 3_600_000, eventGapMs: 0 }) {
  const passes: (string | undefined)[] = [];
  const parts = {
    kernel,
    owner: { networks: [parsePrefix('10.5.0.0/16')] },
    ownSubnets: [parsePrefix('10.5.1.0/24')],
    onKernelEvent: () => () => {},
    makeLinks: kernel.makeLink,
    desired: () => desired,
    onPass: (failure: string | undefined) => void passes.push(failure),
    log: pino({ level: 'silent' }),
    ...overrides,
  };
  return { passes, reconciler: new Reconciler(parts, timings) };
}

test('pass() makes what is missing, and then has nothing more to do', async () => {
  const kernel = new FakeKernel();
  const { reconciler: made } = reconciler(kernel);
  expect(await made.pass()).toBeUndefined();
  expect(kernel.applied).toHaveLength(3);
  expect(await made.pass()).toBeUndefined();
  expect(kernel.applied).toHaveLength(3);
});

test('pass() goes on with the other changes when one is refused, and tells', async () => {
  const kernel = new FakeKernel();
  kernel.refuse = 'add-address';
  const { reconciler: made, passes } = reconciler(kernel);
  expect(await made.pass()).toContain('address add');
  expect(kernel.applied).toEqual(['link set flannel0 mtu 1472 up', 'route add 10.5.0.0/16 dev flannel0']);
  kernel.refuse = undefined;
  expect(await made.pass()).toBeUndefined();
  expect(passes).toEqual([expect.stringContaining('address add'), undefined]);
  expect(made.statistics).toEqual({ passes: 2, failedPasses: 1, changes: 3 });
});

test('pass() survives devices that cannot be made', async () => {
  const makeLinks = () => Promise.reject(new Error('No such file: /dev/net/tun'));
  const { reconciler: made } = reconciler(new FakeKernel(), { makeLinks });
  expect(await made.pass()).toBe('No such file: /dev/net/tun');
});

test('run() repairs after an event of the kernel, long before the next full pass', async () => {
  const kernel = new FakeKernel();
  const controller = new AbortController();
  let event = () => {};
  let onPass = () => {};
  const nextPass = () =>
    new Promise<void>((resolve) => {
      onPass = resolve;
    });
  const onKernelEvent = (listener: () => void) => {
    event = listener;
    return () => {};
  };
  const { reconciler: made } = reconciler(kernel, { onKernelEvent, onPass: () => onPass() });
  const first = nextPass();
  const running = made.run(controller.signal);
  await first;
  const second = nextPass();
  kernel.state = { ...kernel.state, routes: [] };
  event();
  await second;
  expect(kernel.state.routes).toHaveLength(1);
  controller.abort();
  await running;
});

test('pass() removes what an earlier flannel left behind after the first pass that leaves nothing to do, and only once', async () => {
  const kernel = new FakeKernel();
  kernel.refuse = 'add-route';
  let complete = false;
  const { reconciler: made } = reconciler(kernel, { desired: () => ({ ...desired, complete }) });
  await made.pass();
  complete = true;
  await made.pass();
  expect(kernel.leftovers).toEqual(['flannel.1']);
  kernel.refuse = undefined;
  complete = false;
  await made.pass();
  expect(kernel.leftovers).toEqual(['flannel.1']);
  complete = true;
  await made.pass();
  expect(kernel.leftovers).toEqual([]);
  kernel.leftovers = ['flannel.2'];
  await made.pass();
  expect(kernel.leftovers).toEqual(['flannel.2']);
});

test('run() makes one pass of many events, and the first event does not wait', async () => {
  jest.useFakeTimers({ doNotFake: ['queueMicrotask'] });
  const settled = async () => {
    for (let n = 0; n < 50; n++) await Promise.resolve();
  };
  try {
    const controller = new AbortController();
    let event = () => {};
    const { reconciler: made, passes } = reconciler(
      new FakeKernel(),
      {
        onKernelEvent: (listener: () => void) => {
          event = listener;
          return () => {};
        },
      },
      { fullMs: 3_600_000, eventGapMs: 100 },
    );
    const running = made.run(controller.signal);
    await settled();
    expect(passes).toHaveLength(1);
    jest.advanceTimersByTime(100);
    event();
    await settled();
    expect(passes).toHaveLength(2);
    for (let n = 0; n < 9; n++) {
      event();
      jest.advanceTimersByTime(10);
      await settled();
    }
    expect(passes).toHaveLength(2);
    jest.advanceTimersByTime(10);
    await settled();
    expect(passes).toHaveLength(3);
    event();
    made.trigger();
    await settled();
    expect(passes).toHaveLength(4);
    controller.abort();
    await running;
  } finally {
    jest.useRealTimers();
  }
});

test('run() looks at the surroundings before each pass, whatever has caused it', async () => {
  const controller = new AbortController();
  let looks = 0;
  let event = () => {};
  let onPass = () => {};
  const passAfter = (cause: () => void) =>
    new Promise<void>((resolve) => {
      onPass = resolve;
      cause();
    });
  const { reconciler: made } = reconciler(new FakeKernel(), {
    beforePass: () => void looks++,
    onPass: () => onPass(),
    onKernelEvent: (listener: () => void) => {
      event = listener;
      return () => {};
    },
  });
  let running = Promise.resolve();
  await passAfter(() => {
    running = made.run(controller.signal);
  });
  expect(looks).toBe(1);
  await passAfter(() => made.trigger());
  expect(looks).toBe(2);
  await passAfter(() => event());
  expect(looks).toBe(3);
  controller.abort();
  await running;
});

test('pass() names a route that is in the place of ours, and how to remove it', async () => {
  const kernel = new FakeKernel();
  await kernel.makeLink();
  const dst = parsePrefix('10.5.0.0/16');
  kernel.state = { ...kernel.state, routes: [{ dst, type: 'unicast', link: 'eth0', metric: 0, protocol: 4 }] };
  const { reconciler: made } = reconciler(kernel);
  expect(await made.pass()).toBe(
    'the route of 10.5.0.0/16 is not ours but 10.5.0.0/16 dev eth0 (protocol 4): remove it with "ip route delete 10.5.0.0/16 dev eth0"',
  );
  expect(kernel.state.routes).toHaveLength(1);
});

describe('leasesChanged()', () => {
  const withPeer = (n: number): DesiredState => ({
    ...desired,
    routes: [...desired.routes, { type: 'unicast', dst: parsePrefix(`10.5.${n}.0/24`), link: 'flannel0' }],
  });

  /** Runs, and lets one wait for the next pass after a cause. */
  async function running(kernel: FakeKernel, fullMs = 3_600_000) {
    const controller = new AbortController();
    let wanted = desired;
    let event = () => {};
    let onPass = (_: string | undefined) => {};
    const parts = {
      desired: () => wanted,
      onPass: (failure: string | undefined) => onPass(failure),
      onKernelEvent: (listener: () => void) => {
        event = listener;
        return () => {};
      },
    };
    const { reconciler: made } = reconciler(kernel, parts, { fullMs, eventGapMs: 0 });
    const after = (cause: () => void) =>
      new Promise<string | undefined>((resolve) => {
        onPass = resolve;
        cause();
      });
    const reads = jest.spyOn(kernel, 'read');
    let ended = Promise.resolve();
    await after(() => {
      ended = made.run(controller.signal);
    });
    reads.mockClear();
    return {
      reads,
      want: (state: DesiredState) =>
        after(() => {
          wanted = state;
          made.leasesChanged();
        }),
      event: () => after(() => event()),
      stop: () => {
        controller.abort();
        return ended;
      },
    };
  }

  test('changes what the leases have changed, and reads nothing back', async () => {
    const kernel = new FakeKernel();
    const { want, reads, stop } = await running(kernel);
    kernel.applied.length = 0;
    expect(await want(withPeer(2))).toBeUndefined();
    expect(kernel.applied).toEqual(['route add 10.5.2.0/24 dev flannel0']);
    await want(withPeer(3));
    expect(kernel.applied.slice(1)).toEqual([
      'route add 10.5.3.0/24 dev flannel0',
      'route delete 10.5.2.0/24 dev flannel0',
    ]);
    expect(reads).not.toHaveBeenCalled();
    await stop();
  });

  test('does not put off the comparison that is due, however often the leases change', async () => {
    const kernel = new FakeKernel();
    const { want, reads, stop } = await running(kernel, 50);
    for (let n = 2; reads.mock.calls.length < 2; n = n === 2 ? 3 : 2) {
      await want(withPeer(n));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await stop();
  });

  test('compares when the kernel refuses, and goes on comparing until all is as desired', async () => {
    const kernel = new FakeKernel();
    const { want, reads, stop } = await running(kernel);
    kernel.refuse = 'add-route';
    expect(await want(withPeer(2))).toContain('route add 10.5.2.0/24');
    expect(reads).toHaveBeenCalledTimes(1);
    kernel.refuse = undefined;
    expect(await want(withPeer(2))).toBeUndefined();
    expect(reads).toHaveBeenCalledTimes(2);
    await stop();
  });

  test('does not stand in for the comparison that an event of the kernel asks for', async () => {
    const kernel = new FakeKernel();
    const { want, event, reads, stop } = await running(kernel);
    await want(withPeer(2));
    kernel.state = { ...kernel.state, routes: [] };
    await event();
    expect(reads).toHaveBeenCalledTimes(1);
    expect(kernel.applied.slice(-2)).toEqual([
      'route add 10.5.0.0/16 dev flannel0',
      'route add 10.5.2.0/24 dev flannel0',
    ]);
    await stop();
  });
});
