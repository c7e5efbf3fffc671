/** Waits in poll(2) for the event descriptor it was given, and answers each signal on another. It never returns to JavaScript's loop. */
import { workerData } from 'node:worker_threads';
import { eventFdOf, POLLIN, PollSet } from '@flannel-ts/linux/poll';

const { wakeFd, answerFd, stopAt, timeoutMs } = workerData as {
  wakeFd: number;
  answerFd: number;
  stopAt: SharedArrayBuffer;
  timeoutMs: number;
};
const [wake, answer, stop] = [eventFdOf(wakeFd), eventFdOf(answerFd), new Int32Array(stopAt)];
const set = new PollSet([{ fd: wake.fd, events: POLLIN }]);

answer.signal(); // it runs
while (Atomics.load(stop, 0) === 0) {
  if (set.wait(timeoutMs) > 0 && wake.drain()) answer.signal();
}
