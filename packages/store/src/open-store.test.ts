import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { isKind, messageOf } from '@gantry/errors';
import { openStore } from './index.ts';

const migrations = ['CREATE TABLE t (id TEXT PRIMARY KEY, n INTEGER) STRICT'];
const module = new URL('./index.ts', import.meta.url).href;

function tempFile(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'gantry-store-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return join(dir, 'sub', 'records.db');
}

function runScript(t: TestContext, script: string): ChildProcess {
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  return child;
}

test('a store keeps what a transaction wrote, in a file only its owner reads', (t) => {
  const path = tempFile(t);
  {
    using store = openStore(path, { migrations });
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const changes = store.transaction(
      () => store.prepare('INSERT INTO t VALUES (?, ?)').run('a', 1).changes,
    );
    assert.equal(changes, 1);
  }
  assert.equal(existsSync(`${path}-wal`), false);
  using again = openStore(path, { migrations });
  assert.deepEqual(
    { ...again.prepare<{ n: number }>('SELECT n FROM t WHERE id=?').get('a') },
    { n: 1 },
  );
  assert.equal(again.prepare('SELECT n FROM t WHERE id=?').get('b'), undefined);
});

test('the file is in WAL mode, fully synchronous, with foreign keys and a busy timeout', (t) => {
  using store = openStore(tempFile(t), { migrations });
  const pragma = (name: string): unknown =>
    Object.values(store.prepare<object>(`PRAGMA ${name}`).get() ?? {})[0];
  assert.equal(pragma('journal_mode'), 'wal');
  assert.equal(pragma('synchronous'), 2);
  assert.equal(pragma('foreign_keys'), 1);
  assert.equal(pragma('busy_timeout'), 10_000);
});

test('a statement is compiled once', (t) => {
  using store = openStore(tempFile(t), { migrations });
  assert.equal(store.prepare('SELECT 1'), store.prepare('SELECT 1'));
});

test('a transaction that throws leaves nothing and the store usable', (t) => {
  using store = openStore(tempFile(t), { migrations });
  const insert = store.prepare('INSERT INTO t VALUES (?, ?)');
  assert.throws(
    () =>
      store.transaction(() => {
        insert.run('a', 1);
        throw new Error('stop');
      }),
    /stop/,
  );
  assert.deepEqual(store.prepare('SELECT * FROM t').all(), []);
  store.transaction(() => insert.run('b', 2));
  assert.equal(store.prepare('SELECT * FROM t').all().length, 1);
});

test('a transaction within a transaction is refused, and undone', (t) => {
  using store = openStore(tempFile(t), { migrations });
  assert.throws(
    () =>
      store.transaction(() => {
        store.prepare('INSERT INTO t VALUES (?, ?)').run('a', 1);
        store.transaction(() => undefined);
      }),
    /a transaction is open already/,
  );
  assert.deepEqual(store.prepare('SELECT * FROM t').all(), []);
});

test('an asynchronous transaction is refused', (t) => {
  using store = openStore(tempFile(t), { migrations });
  assert.throws(() => store.transaction(() => Promise.reject(new Error('x'))), /synchronous/);
  assert.equal(
    store.transaction(() => 7),
    7,
  );
});

test('a taken key is already-exists and names the file', (t) => {
  const path = tempFile(t);
  using store = openStore(path, { migrations });
  const insert = store.prepare('INSERT INTO t VALUES (?, ?)');
  insert.run('a', 1);
  assert.throws(
    () => insert.run('a', 2),
    (e) => isKind(e, 'already-exists') && messageOf(e).includes(path),
  );
});

test('later migrations run once, and a newer file is refused by older code', (t) => {
  const path = tempFile(t);
  openStore(path, { migrations })[Symbol.dispose]();
  const more = [...migrations, 'ALTER TABLE t ADD COLUMN s TEXT'];
  openStore(path, { migrations: more })[Symbol.dispose]();
  openStore(path, { migrations: more })[Symbol.dispose]();
  assert.throws(
    () => openStore(path, { migrations }),
    (e) =>
      isKind(e, 'failed-precondition') &&
      /newer Gantry \(schema 2, this one knows 1\)/.test(messageOf(e)) &&
      messageOf(e).includes(path),
  );
});

test('a migration that fails changes nothing', (t) => {
  const path = tempFile(t);
  openStore(path, { migrations })[Symbol.dispose]();
  const bad = [...migrations, 'CREATE TABLE u (a); NONSENSE'];
  assert.throws(() => openStore(path, { migrations: bad }), /migration 2/);
  using store = openStore(path, { migrations });
  assert.deepEqual(store.prepare("SELECT 1 FROM sqlite_schema WHERE name='u'").all(), []);
});

test('a file that is no database is refused with its name and what to do', (t) => {
  const path = tempFile(t);
  openStore(path, { migrations })[Symbol.dispose]();
  writeFileSync(path, 'this is not a database, however long it may be\n'.repeat(100));
  assert.throws(
    () => openStore(path, { migrations }),
    (e) =>
      isKind(e, 'failed-precondition') &&
      messageOf(e).includes(path) &&
      /move it/.test(messageOf(e)),
  );
});

test('a database with a broken page is refused at open', (t) => {
  const path = tempFile(t);
  {
    using store = openStore(path, { migrations });
    store.transaction(() => {
      for (let i = 0; i < 2000; i += 1) {
        store.prepare('INSERT INTO t VALUES (?, ?)').run(`key-${String(i)}`, i);
      }
    });
  }
  const bytes = readFileSync(path);
  bytes.fill(0xee, 8192, 4 * 4096);
  writeFileSync(path, bytes);
  assert.throws(
    () => openStore(path, { migrations }),
    (e) => isKind(e, 'failed-precondition') && /damaged/.test(messageOf(e)),
  );
});

test('processes that open a new file at once migrate it once', async (t) => {
  const path = tempFile(t);
  // Not idempotent on purpose: applied twice, it would fail or leave two rows.
  const script = `
    import { openStore } from ${JSON.stringify(module)};
    await new Promise((go) => process.stdin.once('data', go));
    const store = openStore(${JSON.stringify(path)}, { migrations: [
      'CREATE TABLE t (n INTEGER)', 'INSERT INTO t VALUES (1)', 'ALTER TABLE t ADD COLUMN s TEXT',
    ] });
    store.transaction(() => store.prepare('UPDATE t SET n = n + 1').run());
    store[Symbol.dispose]();
    process.exit(0);
  `;
  const children = [1, 2, 3, 4].map(() => runScript(t, script));
  const exits = children.map((child) => once(child, 'exit'));
  for (const child of children) {
    child.stdin?.write('go\n');
  }
  for (const exit of exits) {
    assert.deepEqual(await exit, [0, null]);
  }
  using store = openStore(path, { migrations: ['', '', ''] });
  assert.deepEqual(
    store
      .prepare<{ n: number }>('SELECT n FROM t')
      .all()
      .map((row) => row.n),
    [5],
  );
});

test('a process killed within a transaction leaves the last committed state', async (t) => {
  const path = tempFile(t);
  openStore(path, { migrations })[Symbol.dispose]();
  const script = `
    import { openStore } from ${JSON.stringify(module)};
    const store = openStore(${JSON.stringify(path)}, { migrations: ${JSON.stringify(migrations)} });
    const insert = store.prepare('INSERT INTO t VALUES (?, ?)');
    store.transaction(() => insert.run('kept', 1));
    store.transaction(() => {
      for (let i = 0; i < 20000; i += 1) insert.run('lost-' + i, i);
      process.kill(process.pid, 'SIGKILL');
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    });
  `;
  const child = runScript(t, script);
  assert.deepEqual(await once(child, 'exit'), [null, 'SIGKILL']);
  using store = openStore(path, { migrations });
  assert.deepEqual(
    store
      .prepare<{ id: string }>('SELECT id FROM t')
      .all()
      .map((row) => row.id),
    ['kept'],
  );
  store.transaction(() => store.prepare('INSERT INTO t VALUES (?, ?)').run('after', 2));
});
