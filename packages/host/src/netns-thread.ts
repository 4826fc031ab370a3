// The body of the thread that makes network namespaces: one request at a time, all of it synchronous.
import { parentPort } from 'node:worker_threads';
import { kindOf, messageOf } from '@gantry/errors';
import type { NetnsReply, NetnsRequest } from './namespace-worker.ts';
import { createNetns, removeNetns, StrandedThread } from './netns-syscalls.ts';

parentPort?.on('message', (request: NetnsRequest) => {
  let reply: NetnsReply = { id: request.id };
  try {
    if (request.verb === 'create') {
      createNetns(request.path, request.sysctls);
    } else {
      removeNetns(request.path);
    }
  } catch (error) {
    const stranded = error instanceof StrandedThread;
    reply = { id: request.id, fault: { kind: kindOf(error), message: messageOf(error), stranded } };
  }
  parentPort?.postMessage(reply);
  if (reply.fault?.stranded === true) {
    process.exit();
  }
});
