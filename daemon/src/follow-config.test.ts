import { ConfigNotes } from './follow-config.ts';

test('ConfigNotes says what is not valid instead of what another config waited for, and that again afterwards', () => {
  const said: (string | undefined)[] = [];
  const notes = new ConfigNotes({ note: (part, text) => void said.push(text && `${part}: ${text}`) });
  notes.setWaits('another IPv4 network');
  notes.setTrouble({ sentence: 'it is not valid: no VNI', remedy: 'etcdctl get /config' });
  notes.setTrouble(undefined);
  notes.setWaits(undefined);
  const changed = 'network config: the network config has changed: another IPv4 network';
  const invalid =
    'network config: it is not valid: no VNI; this node goes on with an earlier one until it is put right: etcdctl get /config';
  expect(said).toEqual([changed, invalid, changed, undefined]);
});
