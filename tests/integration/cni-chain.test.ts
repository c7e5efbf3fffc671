/** Our plugin as the first of a chain with Debian's portmap, as runtimes do it: each gets the result of the one before. */
import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { CniNode, compilePlugin, DEBIAN_PLUGINS, inside, type Program, sh } from './support/cni-plugin.ts';

const PORTMAP = [`${DEBIAN_PLUGINS}/portmap`];

describe('a chain with portmap', () => {
  let program: Program;
  let node: CniNode;
  const servers: ChildProcess[] = [];
  beforeAll(() => {
    program = compilePlugin();
    node = new CniNode(program);
  });
  afterAll(() => {
    for (const server of servers) server.kill();
    node.destroy();
    rmSync(program.directory, { recursive: true, force: true });
  });

  const serve = async (netns: string): Promise<void> => {
    const script = 'require("http").createServer((q,r)=>r.end("pod")).listen(80,"0.0.0.0",()=>console.log("up"))';
    const server = spawn('nsenter', [`--net=/run/netns/${netns}`, process.execPath, '-e', script]);
    servers.push(server);
    await new Promise((resolve) => server.stdout.once('data', resolve));
  };
  const get = (netns: string, url: string): string => inside(netns, 'curl', '-s', '--max-time', '5', url);

  test('#51 the result passes on unchanged, the port is reached from outside, the node and the pod itself', async () => {
    const outside = node.addPod();
    inside(node.host, 'ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', outside);
    inside(node.host, 'ip', 'address', 'add', '192.0.2.1/24', 'dev', 'up0');
    inside(node.host, 'ip', 'link', 'set', 'up0', 'up');
    inside(outside, 'ip', 'address', 'add', '192.0.2.2/24', 'dev', 'eth0');
    inside(outside, 'ip', 'link', 'set', 'eth0', 'up');

    const pod = node.addPod();
    const prevResult = node.attach({ pod });
    const portMappings = [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }];
    const conf = { type: 'portmap', snat: true, capabilities: { portMappings: true }, runtimeConfig: { portMappings } };
    const chained = node.attach({ pod, conf: { ...conf, prevResult }, program: PORTMAP });
    // Debian's portmap is older than 1.1.0: it drops `mtu` and writes an empty `dns`.
    const known = JSON.parse(JSON.stringify(prevResult), (key, value) => (key === 'mtu' ? undefined : value));
    expect(chained).toEqual({ ...known, dns: {} });
    await serve(pod);
    expect(get(outside, 'http://192.0.2.1:8080/')).toBe('pod');
    expect(get(node.host, 'http://192.0.2.1:8080/')).toBe('pod');
    expect(get(pod, 'http://192.0.2.1:8080/')).toBe('pod');

    expect(node.run('CHECK', { pod, conf: { prevResult: chained } }).code).toBe(0);
    // DEL goes backwards, with the final result for everybody.
    expect(node.run('DEL', { pod, conf: { ...conf, prevResult: chained }, program: PORTMAP }).code).toBe(0);
    expect(node.del({ pod, conf: { prevResult: chained } }).code).toBe(0);
    expect(node.reserved()).toEqual([]);
    expect(sh('ip', '-n', node.host, '-o', 'link')).not.toContain('veth');
  });

  test('#51 our plugin ignores a previous result, as upstream does', () => {
    const pod = node.addPod();
    const prevResult = { cniVersion: '1.0.0', ips: [{ address: '192.0.2.77/24' }] };
    const result = node.attach({ pod, conf: { prevResult } });
    expect(result.ips[0].address).toMatch(/^10\.244\.1\./);
    expect(node.del({ pod, conf: { prevResult } }).code).toBe(0);
    expect(node.reserved()).toEqual([]);
  });
});
