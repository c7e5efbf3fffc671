/** A data volume: a file as a block device. It outlives the machines it is attached to. */
import { closeSync, ftruncateSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { BlockDevice } from './machine.ts';
import { sh } from './process.ts';

const LOOP_MAJOR = 7; // linux/major.h

export class Volume {
  private constructor(
    private readonly file: string,
    private readonly loop: string,
  ) {}

  static create(file: string, megabytes: number): Volume {
    const fd = openSync(file, 'wx');
    ftruncateSync(fd, megabytes * 2 ** 20);
    closeSync(fd);
    return new Volume(file, sh('losetup', '--find', '--show', file).trim());
  }

  /** As a machine sees it that has it attached under this name. */
  as(name: string): BlockDevice {
    return { name, major: LOOP_MAJOR, minor: Number(this.loop.replace('/dev/loop', '')) };
  }

  /** At its beginning, around any machine. */
  write(text: string): void {
    writeFileSync(this.loop, text, { flag: 'r+', flush: true });
  }

  read(): string {
    return readFileSync(this.file, 'latin1');
  }

  destroy(): void {
    sh('losetup', '--detach', this.loop);
    rmSync(this.file);
  }
}
