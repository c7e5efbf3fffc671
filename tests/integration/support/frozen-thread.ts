/** Stops one thread of a process as a debugger does: the others run on. Real, where a stuck system call could only be played. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const ROOT = path.resolve(__dirname, '../../..');

// linux/ptrace.h
const PTRACE_SEIZE = 0x4206;
const PTRACE_INTERRUPT = 0x4207;

const SOURCE = `
  const ptrace = require('koffi').load(null).func('long ptrace(long request, int pid, void *address, void *data)');
  const thread = Number(process.argv[1]);
  const results = [${PTRACE_SEIZE}, ${PTRACE_INTERRUPT}].map((request) => ptrace(request, thread, null, null));
  console.log(results.every((result) => result === 0) ? 'frozen' : 'refused');
  process.stdin.resume();
`;

/** Until the returned function is called. Rejects when there is no thread of this name, or it cannot be traced. */
export async function freezeThread(pid: number, name: string): Promise<() => void> {
  const thread = readdirSync(`/proc/${pid}/task`).find(
    (id) => readFileSync(`/proc/${pid}/task/${id}/comm`, 'utf8').trim() === name,
  );
  if (thread === undefined) throw new Error(`Process ${pid} has no thread named ${name}`);
  // A tracer that ends lets go of what it traces.
  const tracer: ChildProcess = spawn(process.execPath, ['-e', SOURCE, thread], { cwd: ROOT, stdio: 'pipe' });
  const [said] = await once(tracer.stdout!, 'data');
  if (String(said).trim() !== 'frozen') throw new Error(`Thread ${thread} of process ${pid} cannot be traced`);
  return () => void tracer.kill('SIGKILL');
}
