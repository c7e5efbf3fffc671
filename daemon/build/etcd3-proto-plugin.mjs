/**
 * etcd3 parses `../proto/rpc.proto` beside its own files when it is loaded, so a bundle or a compiled binary of it ends with
 * "cannot find rpc.proto" on a machine without this repository's node_modules. This plugin puts the parsed definition into
 * the bundle instead. esbuild's and Bun's plugin interfaces are the same where it matters: one object serves both.
 *
 *   esbuild.build({ plugins: [etcd3ProtoPlugin()] })        Bun.build({ plugins: [etcd3ProtoPlugin()] })
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import protobuf from 'protobufjs';

/** The one call that reads the files; its remaining arguments (options) are kept. */
// biome-ignore lint/suspicious/noTemplateCurlyInString: quoted from etcd3
const LOAD = '(0, proto_loader_1.loadSync)(`${__dirname}/../proto/rpc.proto`,';

/** @returns {{ name: string, setup(build: any): void }} */
export function etcd3ProtoPlugin() {
  return {
    name: 'etcd3-proto',
    setup(build) {
      build.onLoad(
        { filter: /[\\/]etcd3[\\/]lib[\\/]connection-pool\.js$/ },
        (/** @type {{ path: string }} */ file) => ({
          contents: embedDefinition(
            readFileSync(file.path, 'utf8'),
            path.join(path.dirname(file.path), '../proto/rpc.proto'),
          ),
          loader: 'js',
        }),
      );
    },
  };
}

/**
 * The module with the definition in the place of the file name.
 * @param {string} source of etcd3/lib/connection-pool.js
 * @param {string} protoFile
 */
export function embedDefinition(source, protoFile) {
  if (!source.includes(LOAD)) {
    throw new Error(
      'The module etcd3/lib/connection-pool.js does not load rpc.proto as version 1.1.2 does: adapt etcd3-proto-plugin.mjs',
    );
  }
  const json = JSON.stringify(definitionOf(protoFile));
  return source.replace(LOAD, () => `(0, proto_loader_1.fromJSON)(${json},`);
}

/**
 * What proto-loader's loadSync would parse. The options of methods (HTTP paths for the gateway) are left out.
 * @param {string} protoFile
 */
export function definitionOf(protoFile) {
  const root = new protobuf.Root();
  root.loadSync(protoFile, { keepCase: true });
  root.resolveAll();
  return withoutMethodOptions(root.toJSON());
}

/**
 * @param {any} value
 * @returns {any}
 */
function withoutMethodOptions(value) {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const isMethod = 'requestType' in value;
  const entries = Object.entries(value).filter(
    ([key]) => !(isMethod && (key === 'options' || key === 'parsedOptions')),
  );
  return Object.fromEntries(entries.map(([key, inner]) => [key, withoutMethodOptions(inner)]));
}
