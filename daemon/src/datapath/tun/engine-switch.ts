/** The engine that the flags and the network config ask for, also while the daemon runs: a switch for the whole cluster. */
import type { EngineChoice } from '@flannel-ts/flannel/backend-config';
import type { NetworkConfig } from '@flannel-ts/flannel/network-config';
import { type EngineSettings, engineSettings, sameSettings } from './engine/choose.ts';

export class EngineSwitch {
  private settings: EngineSettings;

  constructor(
    private readonly flags: EngineChoice,
    config: NetworkConfig,
  ) {
    this.settings = settingsOf(flags, config);
  }

  get current(): EngineSettings {
    return this.settings;
  }

  /** The settings, when this config changes them. */
  take(config: NetworkConfig): EngineSettings | undefined {
    // Another backend has no engine.
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
