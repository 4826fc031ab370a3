/*
 * Runs in the virtual machine: those specs of critest that need what other hosts
 * have not. Which these are depends on how the machine was booted.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { appendFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { after, before, test } from 'node:test';
import { runCritest } from '../../critest/run-critest.ts';
import { closeAndShowLog, importImage, startGantry } from './guest.ts';

const programs = { critest: '/opt/programs/critest', ginkgo: '/opt/programs/ginkgo' };
/** What specs run in when they name no image; it is here, so that none is pulled. */
const critestImage = 'registry.k8s.io/e2e-test-images/busybox:1.29-2';
const suite = existsSync('/sys/fs/selinux/enforce')
  ? { focus: /\] SELinux /, count: 17 }
  : { focus: /\] AppArmor /, count: 9 };
const skip = existsSync(programs.critest) ? false : 'critest could not be built: no Go toolchain';

before(async () => {
  if (skip === false) {
    // The specs take any word of sudo and of the parser on stderr for a failure, warnings too.
    await appendFile('/etc/hosts', `127.0.1.1 ${hostname()}\n`);
    await appendFile('/etc/apparmor/parser.conf', '\nquiet\n').catch(() => undefined);
    await startGantry();
    await importImage(critestImage);
  }
});
after(closeAndShowLog);

test(`critest: ${suite.focus.source}`, { skip }, async (t) => {
  const results = await runCritest({
    programs,
    socket: '/run/gantry/gantry.sock',
    streams: 'spdy',
    dir: '/root/critest',
    processes: 1,
    focus: [suite.focus.source],
  });
  const chosen = results.filter(({ name }) => suite.focus.test(name));
  assert.equal(chosen.length, suite.count);
  for (const { name, outcome, message, output } of chosen) {
    await t.test(name, () => {
      assert.equal(outcome, 'passed', `${message}\n${output.slice(-2000)}`);
    });
  }
});
