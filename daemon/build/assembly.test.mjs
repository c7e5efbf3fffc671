import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

test('assembly/ compiles to the module that the engine carries', () => {
  // A process of its own: jest cannot load the compiler, which is an ES module only.
  execFileSync(process.execPath, [join(__dirname, 'assembly.mjs'), '--check'], { stdio: 'pipe' });
}, 60_000);
