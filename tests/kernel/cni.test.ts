/** The CNI plugin on a kernel whose bridges know VLANs, which a machine's own may not. */
import { rmSync } from 'node:fs';
import { compilePlugin, type Program } from '../integration/support/cni-plugin.ts';
import { fetchKernel } from './support/kernels.ts';
import { runOnKernel } from './support/machine.ts';

jest.setTimeout(600_000);

let plugin: Program;
beforeAll(() => {
  plugin = compilePlugin();
});
afterAll(() => rmSync(plugin.directory, { recursive: true, force: true }));

/** `call COMMAND POD KEYS-OF-DELEGATE`, and what a test looks at. */
const CALLS = `
mkdir -p /run/flannel /opt/cni/bin
printf 'FLANNEL_NETWORK=10.244.0.0/16\\nFLANNEL_SUBNET=10.244.1.1/24\\nFLANNEL_MTU=1450\\nFLANNEL_IPMASQ=true\\n' >/run/flannel/subnet.env
call() {
  echo '{"cniVersion":"1.0.0","name":"cbr0","type":"flannel","delegate":{"isDefaultGateway":true'"$3"'}}' |
    CNI_COMMAND=$1 CNI_CONTAINERID=$2 CNI_NETNS=/run/netns/$2 CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin flannel >/run/$2.answer ||
    cat /run/$2.answer
}
pod() { ip netns add $1; ip -n $1 link set lo up; call ADD "$@"; }
address() { sed -n 's/.*"address": "\\([0-9.]*\\).*/\\1/p' /run/$1.answer | head -n 1; }
reaches() { ip netns exec $1 ping -c 1 -W 5 $2 >/dev/null 2>&1 && echo "$1 reaches $3" || echo "$1 does not reach $3"; }
vlans() {
  bridge vlan show dev $(grep -o 'veth[0-9a-f]*' /run/$1.answer | head -n 1) |
    grep -oE '[0-9]+(-[0-9]+)?( PVID)?( Egress)?( Untagged)?$' | tr '\\n' ',' | sed "s/^/$1 is in: /"
  echo
}
`;

test('pods with vlan, vlanTrunk and preserveDefaultVlan are in these VLANs and reach nobody else', async () => {
  const script = `${CALLS}
pod a ',"vlan":100'
pod c ',"vlan":200'
pod t ',"vlanTrunk":[{"id":100},{"minID":300,"maxID":302}]'
pod d ',"vlan":100,"preserveDefaultVlan":true'
reaches a $(address d) d
reaches a 10.244.1.1 'the gateway'
reaches a $(address c) c
ip -n t link add link eth0 name eth0.100 type vlan id 100
ip -n t address flush dev eth0
ip -n t address add 10.244.1.99/24 dev eth0.100
ip -n t link set eth0.100 up
reaches t $(address a) a
for pod in a c t d; do vlans $pod; done
for pod in a t; do call DEL $pod ',"vlan":100'; done
bridge vlan show | grep -c '^veth'
`;
  const programs = { '/usr/bin/flannel': plugin.command[0]!, '/usr/sbin/bridge': '/usr/sbin/bridge' };
  const lines = await runOnKernel({ kernel: fetchKernel('6.1'), programs, script, timeoutMs: 500_000 });
  expect(lines).toEqual([
    ...['a reaches d', 'a reaches the gateway', 'a does not reach c', 't reaches a'],
    'a is in: 100 PVID Egress Untagged,',
    'c is in: 200 PVID Egress Untagged,',
    // As with the reference plugin: without a vlan, the bridge's own is the one without a tag.
    't is in: 1 PVID Egress Untagged,100,300,301,302,',
    'd is in: 1 Egress Untagged,100 PVID Egress Untagged,',
    // The two that are left, and the gateways' ports of two VLANs.
    '4',
  ]);
});
