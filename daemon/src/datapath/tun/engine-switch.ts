/**
 * The engine that the flags and the network config ask for, also while the daemon runs: a switch for the whole cluster that
 * needs no restart. Everything else in the config holds from the next start on, as with flannel.
 */
import type { EngineChoice, UdpConfig } from '@flannel-ts/flannel/backend-config';
import { formatNetworkConfig, type NetworkConfig } from '@flannel-ts/flannel/network-config';
import type { Logger } from 'pino';
import { type EngineSettings, engineSettings, sameSettings } from './engine/choose.ts';

export class EngineSwitch {
  private settings: EngineSettings;
  private rest: string;

  constructor(
    private readonly flags: EngineChoice,
    config: NetworkConfig,
    private readonly log: Logger,
  ) {
    this.settings = settingsOf(flags, config);
    this.rest = withoutEngine(config);
  }

  get current(): EngineSettings {
    return this.settings;
  }

  /** The settings, when this config changes them. */
  take(config: NetworkConfig): EngineSettings | undefined {
    const rest = withoutEngine(config);
    if (rest !== this.rest) this.log.warn('The network config has changed: it takes effect when flanneld is restarted');
    this.rest = rest;
    // Another backend has no engine: not before the restart.
    if (config.backend.type !== 'udp') return undefined;
    // The device is made for one queue or for several.
    const settings = { ...settingsOf(this.flags, config), queues: this.settings.queues };
    if (sameSettings(settings, this.settings)) return undefined;
    this.settings = settings;
    return settings;
  }
}

function settingsOf(flags: EngineChoice, { backend }: NetworkConfig): EngineSettings {
  return engineSettings(flags, backend.type === 'udp' ? backend : {});
}

function withoutEngine(config: NetworkConfig): string {
  const { backend } = config;
  return formatNetworkConfig(backend.type === 'udp' ? { ...config, backend: withoutSwitches(backend) } : config);
}

function withoutSwitches({ type, port, outer, queues }: UdpConfig): UdpConfig {
  return { type, port, ...(outer !== undefined && { outer }), ...(queues !== undefined && { queues }) };
}
