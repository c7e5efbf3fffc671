import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createNetns, deleteNetns, withNetns } from '@flannel-ts/linux/netns';
import { openNetlink, withNetlink } from '@flannel-ts/rtnetlink/connection';
import { getLink, listLinks } from '@flannel-ts/rtnetlink/link';
import { addBridge } from '@flannel-ts/rtnetlink/link-add';
import { errorOf, type Lab, openLab } from './rtnetlink-lab.ts';

describe('openNetlink()', () => {
  let lab: Lab;

  beforeEach(() => {
    lab = openLab('connection');
  });

  afterEach(() => lab.close());

  test('works in the namespace it was opened in, wherever the thread goes', () => {
    const other = openLab('elsewhere');
    try {
      const own = withNetns(lab.netns, () => openNetlink());
      withNetns(other.netns, () => addBridge(own, { name: 'br0' }));
      own.close();
      expect(getLink(lab.nl, 'br0')?.kind).toBe('bridge');
      expect(getLink(other.nl, 'br0')).toBeUndefined();
      expect(other.ip('link', 'show')).toHaveLength(1);
    } finally {
      other.close();
    }
  });

  test('names a namespace that does not exist, or is none', () => {
    expect(errorOf(() => openNetlink({ netns: '/run/netns/fltest-none' }))).toMatchObject({
      code: 'ENOENT',
      message: expect.stringContaining('/run/netns/fltest-none'),
    });
    expect(errorOf(() => openNetlink({ netns: '/dev/null' }))).toMatchObject({ code: 'EINVAL' });
  });

  test('keeps working after the name of the namespace has gone', () => {
    const path = `/run/netns/fltest-${process.pid}-gone`;
    createNetns(path);
    withNetlink({ netns: path }, (nl) => {
      deleteNetns(path);
      addBridge(nl, { name: 'br0' });
      expect(listLinks(nl).map((link) => link.name)).toEqual(['lo', 'br0']);
    });
  });

  test('reads replies that are longer than its buffer', () => {
    for (let i = 0; i < 50; i++) addBridge(lab.nl, { name: `br${i}` });
    withNetlink({ netns: lab.netns, receiveBufferBytes: 32 }, (nl) => {
      expect(getLink(nl, 'br7')?.kind).toBe('bridge');
      expect(listLinks(nl)).toHaveLength(51);
    });
  });

  test('lists whole while others change the list', async () => {
    for (let i = 0; i < 80; i++) addBridge(lab.nl, { name: `br${i}` });
    const batch = 'link add flap type bridge\nlink del flap\n'.repeat(40);
    const churn = spawn('nsenter', [`--net=${lab.netns}`, 'ip', '-batch', '-'], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    const ended = once(churn, 'exit');
    churn.stdin.end(batch);
    let lists = 0;
    try {
      while (churn.exitCode === null) {
        const names = listLinks(lab.nl)
          .map((link) => link.name)
          .filter((name) => name !== 'flap');
        expect(names).toHaveLength(81);
        expect(new Set(names).size).toBe(81);
        lists++;
        await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      churn.kill();
      await ended;
    }
    expect(lists).toBeGreaterThan(1);
  });
});
