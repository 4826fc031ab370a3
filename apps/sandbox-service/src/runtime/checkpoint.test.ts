import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorsOf } from './checkpoint.ts';

test('the errors of a log of CRIU are told once each, without what is not an error', () => {
  const log = `(00.000012) Version: 3.17.1 (gitid 0)
(00.003510) Warn  (criu/kerndat.c:1285): Can't keep kdat cache on non-tempfs
(00.051000)      1: Error (criu/vdso.c:651): vdso: Unexpected rt vDSO area bounds
(00.051001) Error (criu/cr-dump.c:1572): Dumping FAILED.
(00.051002) Error (criu/cr-dump.c:1572): Dumping FAILED.
Error (criu/vdso.c:651): vdso: not there
`;
  assert.equal(
    errorsOf(log),
    'vdso: Unexpected rt vDSO area bounds; Dumping FAILED.; vdso: not there',
  );
});
