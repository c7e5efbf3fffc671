import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FAST = join(import.meta.dirname, '../src/datapath/tun/engine/fast');
const TARGET = join(FAST, 'module.generated.ts');

/**
 * Compiles src/datapath/tun/engine/fast/assembly to the WebAssembly module that the fast engine's worker carries as text: a worker started
 * from text (see spawn.ts) has no file to load.
 *
 * @returns {Promise<string>} the source of module.generated.ts
 */
export async function generateModule() {
  // Not by its literal name: the compiler's types declare a global `require` that would change everybody's.
  const { default: asc } = await import(/** @type {string} */ ('assemblyscript/asc'));
  /** @type {Map<string, Uint8Array | string>} */
  const outputs = new Map();
  const { error, stderr } = await asc.main(
    [
      'index.ts',
      ...['--outFile', 'index.wasm', '--runtime', 'stub', '--importMemory', '--memoryBase', '1024'],
      ...['--initialMemory', '208', '--maximumMemory', '208', '--enable', 'simd', '--noAssert', '--use', 'abort='],
      ...['-O3', '--converge'],
    ],
    {
      readFile: (/** @type {string} */ name) => {
        try {
          return readFileSync(join(FAST, 'assembly', name), 'utf8');
        } catch {
          return null;
        }
      },
      writeFile: (/** @type {string} */ name, /** @type {Uint8Array | string} */ contents) =>
        void outputs.set(name, contents),
      listFiles: () => [],
    },
  );
  if (error !== null)
    throw new Error(`Cannot compile the engine's WebAssembly module\n${stderr.toString()}`, { cause: error });
  const base64 = Buffer.from(/** @type {Uint8Array} */ (outputs.get('index.wasm'))).toString('base64');
  const lines = base64.match(/.{1,118}/g) ?? [];
  return [
    '// Made from assembly/ by `node daemon/build/assembly.mjs`; a test compares the two. Not to be edited.',
    'export const MODULE = `',
    ...lines,
    '`;',
    '',
  ].join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const source = await generateModule();
  if (!process.argv.includes('--check')) writeFileSync(TARGET, source);
  else if (source !== readFileSync(TARGET, 'utf8')) {
    console.error('module.generated.ts is not what assembly/ compiles to: run `node daemon/build/assembly.mjs`');
    process.exitCode = 1;
  }
}
