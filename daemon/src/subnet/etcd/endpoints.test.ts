import { parseEndpoints } from './endpoints.ts';

test.each([
  ['http://10.0.0.1:2379', ['http://10.0.0.1:2379'], 0],
  ['https://[fd00::1]:2379/, http://etcd-0.example:4001', ['https://[fd00::1]:2379', 'http://etcd-0.example:4001'], 0],
  ['10.0.0.1:2379,[fd00::1]:2379', ['http://10.0.0.1:2379', 'http://[fd00::1]:2379'], 2],
  ['http://10.0.0.1', ['http://10.0.0.1:2379'], 1],
  ['etcd', ['http://etcd:2379'], 1],
  ['"http://10.0.0.1:2379",\'http://10.0.0.2:2379\'', ['http://10.0.0.1:2379', 'http://10.0.0.2:2379'], 0],
  ['http://10.0.0.1:2379,,http://10.0.0.1:2379/', ['http://10.0.0.1:2379'], 0],
  ['HTTP://Etcd:2379', ['http://etcd:2379'], 0],
  ['', [], 0],
])('parseEndpoints() reads %s', (text, endpoints, notes) => {
  const parsed = parseEndpoints(text, false);
  expect(parsed.endpoints).toEqual(endpoints);
  expect(parsed.notes).toHaveLength(notes);
});

test('parseEndpoints() speaks TLS to an endpoint without a scheme where certificates are given, and says so', () => {
  expect(parseEndpoints('10.0.0.1:2379', true)).toEqual({
    endpoints: ['https://10.0.0.1:2379'],
    notes: ['Using https://10.0.0.1:2379 for the etcd endpoint 10.0.0.1:2379'],
  });
});

test.each([
  ['http://10.0.0.1:2379/v2', 'write it like http://10.0.0.1:2379'],
  ['http://10.0.0.1:70000', 'Invalid etcd endpoint "http://10.0.0.1:70000"'],
  ['http://fd00::1:2379', 'in brackets: http://[fd00::1]:2379'],
  ['http://root:secret@10.0.0.1:2379', '-etcd-username'],
  ['unix:///run/etcd.sock', 'Invalid etcd endpoint'],
  ['http://10.0.0.1:2379 http://10.0.0.2:2379', 'Invalid etcd endpoint'],
  ['http://', 'Invalid etcd endpoint'],
])('parseEndpoints() refuses %s in words', (text, message) => {
  expect(() => parseEndpoints(text, false)).toThrow(message);
  expect(() => parseEndpoints(text, false)).not.toThrow('secret');
});
