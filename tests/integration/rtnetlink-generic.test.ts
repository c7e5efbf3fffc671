import { activeFeatures, openEthtool, setFeature } from '@flannel-ts/rtnetlink/features';
import { openGenericFamily } from '@flannel-ts/rtnetlink/generic';
import { addVxlan } from '@flannel-ts/rtnetlink/link-add';
import { errorOf, type Lab, openLab } from './rtnetlink-lab.ts';

describe('generic netlink', () => {
  let lab: Lab;

  beforeEach(() => {
    lab = openLab('generic');
  });

  afterEach(() => lab.close());

  test('a family that this kernel does not have is named', () => {
    expect(errorOf(() => openGenericFamily('no-such-family', { netns: lab.netns })).message).toBe(
      'Cannot find the generic netlink family no-such-family: this kernel has none, and no module that brings it (ENOENT)',
    );
  });

  test('setFeature() turns the checksum offload of a VXLAN device off and on, in its namespace', () => {
    const { index } = addVxlan(lab.nl, { name: 'flannel.1', vni: 1, port: 8472 });
    const ethtool = openEthtool({ netns: lab.netns });
    try {
      expect(activeFeatures(ethtool, index)).toContain('tx-checksum-ip-generic');
      setFeature(ethtool, index, 'tx-checksum-ip-generic', false);
      expect(activeFeatures(ethtool, index)).not.toContain('tx-checksum-ip-generic');
      // A device that cannot compute checksums cannot cut segments: the kernel turns that off with it.
      expect(activeFeatures(ethtool, index)).not.toContain('tx-tcp-segmentation');
      setFeature(ethtool, index, 'tx-checksum-ip-generic', true);
      expect(activeFeatures(ethtool, index)).toContain('tx-checksum-ip-generic');
      expect(activeFeatures(ethtool, index)).toContain('tx-tcp-segmentation');
      expect(errorOf(() => setFeature(ethtool, index, 'no-such-feature', true))).toMatchObject({
        message: `Cannot turn on no-such-feature of link ${index}: bit name not found (EOPNOTSUPP)`,
      });
      expect(errorOf(() => activeFeatures(ethtool, 4711)).message).toMatch(
        /^Cannot read the features of link 4711: .*ENODEV/,
      );
    } finally {
      ethtool.close();
    }
  });
});
