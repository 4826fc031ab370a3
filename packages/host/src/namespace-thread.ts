// The body of the thread that makes namespaces: one request at a time, all of it synchronous.
import { parentPort } from 'node:worker_threads';
import { kindOf, messageOf } from '@gantry/errors';
import {
  configureNamespaces,
  createNamespaces,
  readInNetns,
  removeNamespace,
  StrandedThread,
} from './namespace-syscalls.ts';
import type { NamespaceReply, NamespaceRequest } from './namespace-worker.ts';

function answer(request: NamespaceRequest): string | undefined {
  switch (request.verb) {
    case 'create':
      createNamespaces(request.namespaces);
      return undefined;
    case 'configure':
      configureNamespaces(request.namespaces);
      return undefined;
    case 'remove':
      removeNamespace(request.path);
      return undefined;
    case 'read':
      return readInNetns(request.path, request.file);
  }
}

parentPort?.on('message', (request: NamespaceRequest) => {
  let reply: NamespaceReply;
  try {
    reply = { id: request.id, text: answer(request) };
  } catch (error) {
    const stranded = error instanceof StrandedThread;
    reply = { id: request.id, fault: { kind: kindOf(error), message: messageOf(error), stranded } };
  }
  parentPort?.postMessage(reply);
  if (reply.fault?.stranded === true) {
    process.exit();
  }
});
