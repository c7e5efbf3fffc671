import { readFileSync } from 'node:fs';
import path from 'node:path';
import * as loader from '@grpc/proto-loader';
import { definitionOf, embedDefinition } from './etcd3-proto-plugin.mjs';

const etcd3 = path.dirname(require.resolve('etcd3/package.json'));
const protoFile = path.join(etcd3, 'proto/rpc.proto');
const options = { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true };

/** @param {any} definition */
const types = (definition) =>
  Object.entries(definition)
    .map(([name, { type }]) => [name, type])
    .filter(([, type]) => type);

test('definitionOf() describes every message as the proto files do', () => {
  const fromFiles = loader.loadSync(protoFile, options);
  const embedded = loader.fromJSON(JSON.parse(JSON.stringify(definitionOf(protoFile))), options);
  expect(Object.keys(embedded)).toEqual(Object.keys(fromFiles));
  expect(types(embedded)).toEqual(types(fromFiles));
});

test('definitionOf() keeps 64-bit lease ids exact and repeated enums packed', () => {
  /** @type {any} */
  const [fromFiles, embedded] = [
    loader.loadSync(protoFile, options),
    loader.fromJSON(definitionOf(protoFile), options),
  ];
  /** @type {[string, object][]} */
  const messages = [
    ['etcdserverpb.PutRequest', { key: Buffer.from('k'), value: Buffer.from('v'), lease: '7587891302893847299' }],
    ['etcdserverpb.WatchCreateRequest', { key: Buffer.from('k'), start_revision: '9007199254740993', filters: [0, 1] }],
  ];
  for (const [name, message] of messages) {
    const bytes = embedded[name].serialize(message);
    expect(bytes).toEqual(fromFiles[name].serialize(message));
    expect(embedded[name].deserialize(bytes)).toEqual(fromFiles[name].deserialize(bytes));
  }
});

test('embedDefinition() leaves no read of a proto file in the module', () => {
  const source = readFileSync(path.join(etcd3, 'lib/connection-pool.js'), 'utf8');
  const embedded = embedDefinition(source, protoFile);
  expect(embedded).not.toContain('loadSync');
  expect(embedded).toContain('fromJSON)({"nested"');
});

test('embedDefinition() refuses a version of etcd3 that it does not know', () => {
  expect(() => embedDefinition('// other', protoFile)).toThrow('adapt etcd3-proto-plugin.mjs');
});
