import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { OomKills } from './oom-kills.ts';

const pod = '/kubepods.slice/pod1.slice';

/** A tree of cgroup files as the kernel shows them, and containers in it. */
function makeBed(t: TestContext) {
  const root = mkdtempSync(join(tmpdir(), 'gantry-oom-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  let kills = new OomKills(root);
  const before = new Map<string, number>();
  const at = (path: string) => join(root, path);
  const scope = (id: string) => join(pod, `gantry-${id}.scope`);
  const write = (file: string, text: string) => {
    mkdirSync(dirname(at(file)), { recursive: true });
    writeFileSync(at(file), text);
  };
  const bundleDir = (id: string) => join('bundles', id);
  return {
    write,
    mark: (id: string) => write(join(bundleDir(id), 'oom'), ''),
    /** As the kernel counts v2: of a cgroup and all below it. */
    count: (path: string, n: number) =>
      write(
        join(path, 'memory.events'),
        `low 0\nmax 9\noom ${n}\noom_kill ${n}\noom_group_kill 0\n`,
      ),
    scope,
    create(id: string) {
      before.set(id, kills.unclaimed(scope(id)));
      this.count(scope(id), 0);
    },
    remove: (id: string) => rmSync(at(scope(id)), { recursive: true }),
    willKill: (id: string) => kills.willKill(id),
    wasKilled: (id: string, exitCode = 137, cgroupPath = scope(id)) =>
      kills.wasKilled({
        id,
        exitCode,
        bundleDir: at(bundleDir(id)),
        cgroupPath,
        unclaimedBefore: before.get(id),
      }),
    forget: (id: string) => kills.forget(id, scope(id)),
    restart() {
      kills = new OomKills(root);
    },
  };
}

test('the mark of conmon tells, whatever the code', (t) => {
  const bed = makeBed(t);
  bed.create('a');
  bed.mark('a');
  assert.equal(bed.wasKilled('a', 1), true);
});

test('a killed container is told by its own count, v1 and v2', (t) => {
  const bed = makeBed(t);
  bed.create('v2');
  bed.count(bed.scope('v2'), 1);
  assert.equal(bed.wasKilled('v2'), true);
  const control = (n: number) => `oom_kill_disable 0\nunder_oom 0\noom_kill ${n}\n`;
  bed.write('memory/v1/calm/memory.oom_control', control(0));
  bed.write('memory/v1/killed/memory.oom_control', control(2));
  assert.equal(bed.wasKilled('calm', 137, '/v1/calm'), false);
  assert.equal(bed.wasKilled('killed', 137, '/v1/killed'), true);
});

test('a child of the container that was killed does not make its own end one', (t) => {
  const bed = makeBed(t);
  bed.create('a');
  bed.count(bed.scope('a'), 1);
  assert.equal(bed.wasKilled('a', 1), false);
});

test('the count of the parent tells where the scope has gone', (t) => {
  const bed = makeBed(t);
  bed.count(pod, 0);
  bed.create('a');
  bed.remove('a');
  bed.count(pod, 1);
  assert.equal(bed.wasKilled('a'), true);
  assert.equal(bed.wasKilled('a'), true, 'the same answer when asked again');
  // The next attempt ends by a SIGKILL of somebody.
  bed.forget('a');
  bed.create('b');
  bed.remove('b');
  assert.equal(bed.wasKilled('b'), false);
});

test('what a living neighbour counts is not claimed, nor what one that has ended has', (t) => {
  const bed = makeBed(t);
  bed.create('a');
  bed.create('b');
  bed.create('c');
  bed.count(bed.scope('a'), 2);
  bed.count(pod, 2);
  bed.remove('b');
  assert.equal(bed.wasKilled('b'), false, 'both kills were in a');
  // a ends, its cgroup lingers, then goes.
  assert.equal(bed.wasKilled('a'), true);
  bed.remove('a');
  bed.remove('c');
  assert.equal(bed.wasKilled('c'), false);
});

test('a kill is told beside a neighbour whose cgroup lingers', (t) => {
  const bed = makeBed(t);
  bed.create('a');
  bed.create('b');
  bed.count(bed.scope('a'), 1);
  bed.count(pod, 1);
  assert.equal(bed.wasKilled('a'), true);
  bed.remove('b');
  bed.count(pod, 2);
  assert.equal(bed.wasKilled('b'), true);
});

test('kills before the container was made are not its own, also after a restart', (t) => {
  const bed = makeBed(t);
  bed.count(pod, 3);
  bed.create('a');
  bed.restart();
  bed.remove('a');
  assert.equal(bed.wasKilled('a'), false);
  bed.create('b');
  bed.restart();
  bed.remove('b');
  bed.count(pod, 4);
  assert.equal(bed.wasKilled('b'), true);
});

test('SIGKILL by this service needs no other explanation', (t) => {
  const bed = makeBed(t);
  bed.create('a');
  bed.willKill('a');
  bed.remove('a');
  bed.count(pod, 1);
  assert.equal(bed.wasKilled('a'), false);
});

test('without a cgroup, a count or a parent nothing is claimed', (t) => {
  const bed = makeBed(t);
  bed.create('a');
  bed.remove('a');
  assert.equal(bed.wasKilled('a'), false);
  assert.equal(bed.wasKilled('old'), false, 'its launch was recorded by an earlier version');
});

test('figures that can not be read hold up no end', (t) => {
  const bed = makeBed(t);
  bed.create('a');
  // A directory in the place of the file: EISDIR, as anything else but ENOENT.
  bed.remove('a');
  bed.write(join(bed.scope('a'), 'memory.events', 'x'), '');
  assert.equal(bed.wasKilled('a'), false);
});
