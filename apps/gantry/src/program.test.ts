import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { commands } from './command-table.ts';
import { testDir } from './testing-dir.ts';

function gantry(...args: string[]): { code: number | null; out: string; err: string } {
  const main = join(import.meta.dirname, 'main.ts');
  const flags = ['--disable-warning=ExperimentalWarning', main, ...args];
  const result = spawnSync(process.execPath, flags, { encoding: 'utf8' });
  return { code: result.status, out: result.stdout, err: result.stderr };
}

test('every command has a function behind it, and a name of its own', async () => {
  assert.equal(new Set(commands.map((c) => c.name)).size, commands.length);
  for (const { name, load } of commands) {
    assert.equal(typeof (await load()), 'function', name);
  }
});

test('every command shows examples, which use only its own options', () => {
  for (const { name, examples = [], options = [], hidden } of commands) {
    assert.ok(hidden === true || examples.length > 0, `${name} has no example`);
    const known = [
      '--config',
      ...options.flatMap(([flags]) => flags.match(/(?<!\S)--?[\w-]+/g) ?? []),
    ];
    for (const example of examples.filter((text) => !text.startsWith('exec '))) {
      assert.ok(example === name || example.startsWith(`${name} `), `${name}: ${example}`);
      const used = example.match(/(?<!\S)--?[\w-]+/g) ?? [];
      assert.deepEqual(
        used.filter((flag) => !known.includes(flag)),
        [],
        example,
      );
    }
  }
});

test('every argument is told of by its name', () => {
  for (const { name, args = '', argsAbout = {} } of commands) {
    const names = args.match(/[\w-]+/g) ?? [];
    assert.deepEqual(Object.keys(argsAbout), names, name);
  }
});

test('the help of a command tells its arguments, options and examples', () => {
  const { out } = gantry('logs', '--help');
  assert.match(out, /\nArguments:\n {2}container {2,}its name, its id/);
  assert.match(out, /\n {2}--tail <lines> {2,}only so many/);
  assert.match(out, /\nExamples:\n {2}gantry logs -f --tail 20 /);
});

test('an object is not shown as a table', () => {
  const { err, code } = gantry('info', '-o', 'table');
  assert.equal(code, 1);
  assert.match(err, /^gantry: --output table: must be json or yaml\n$/);
});

test('help lists the commands, and hides those for machines', () => {
  const { out, code } = gantry('--help');
  assert.equal(code, 0);
  assert.match(out, /\n {2}demo /);
  assert.doesNotMatch(out, /supervise/);
});

test('a command that there is not is one line that names a likely one', () => {
  const { err, code } = gantry('statsu');
  assert.equal(code, 1);
  assert.match(err, /^gantry: unknown command 'statsu'\n\(Did you mean status\?\)\n$/);
});

test('--config is understood before and after the command', (t) => {
  const file = join(testDir(t), 'c.toml');
  writeFileSync(file, 'nonsense = 1\n');
  for (const args of [
    ['--config', file, 'config', 'check'],
    ['config', '--config', file, 'check'],
    ['config', 'check', '--config', file],
  ]) {
    const { err, code } = gantry(...args);
    assert.equal(code, 1);
    assert.match(
      err,
      /^gantry: invalid config \/.*c\.toml\n {2}nonsense \(line 1\): there is no such key/,
    );
  }
});

test('a config file that is named must be there', () => {
  const { err, code } = gantry('ps', '--config', '/nonexistent/c.toml');
  assert.equal(code, 1);
  assert.match(err, /^gantry: read config \/nonexistent\/c.toml: ENOENT.*\n$/);
});

test('no stack is one line that says how to start it', (t) => {
  const dir = testDir(t);
  const file = join(dir, 'c.toml');
  writeFileSync(file, `[grpc]\nsocket = "${dir}/none.sock"\n`);
  const { err, code } = gantry('ps', '--config', file);
  assert.equal(code, 1);
  assert.match(err, /^gantry: connect to .*none\.sock: .*\. Is Gantry running\? \(gantry up\)\n$/);
});

test('options after the container of exec belong to its command', (t) => {
  const dir = testDir(t);
  const file = join(dir, 'c.toml');
  writeFileSync(file, `[grpc]\nsocket = "${dir}/none.sock"\n`);
  const { err } = gantry('exec', '--config', file, 'f'.repeat(64), 'ls', '-l', '--config', 'x');
  assert.match(err, /none\.sock/);
});

test('a number that is none is refused with its option', (t) => {
  const file = join(testDir(t), 'c.toml');
  writeFileSync(file, '');
  const { err } = gantry('trace', '--last', '1.5', '--config', file);
  assert.equal(err, 'gantry: --last 1.5: must be a whole number from 1 on\n');
});

test('config nats makes the account of a node for a server of the operator', (t) => {
  const dir = testDir(t);
  const file = join(dir, 'config.toml');
  const nats = (lines: string) => {
    writeFileSync(file, `node_name = "node-1"\nstate_dir = "${dir}/state"\n${lines}`);
    return gantry('config', 'nats', '--config', file);
  };
  assert.match(nats('').err, /^gantry: nats\.url is not set: gantry up starts a NATS server/);
  const url = '[nats]\nurl = "nats://10.0.0.5:4222"\n';
  assert.match(
    nats(url).err,
    /^gantry: nats\.credentials_dir is in .*state, which a reboot empties/,
  );
  assert.deepEqual(readdirSync(dir), ['config.toml']);

  const { out, err, code } = nats(`${url}credentials_dir = "${dir}/nats"\n`);
  assert.equal(code, 0, err);
  assert.match(out, /^"node-1": \{\n {2}users: \[\n {4}\{ user: "node-1-gateway", password: "/);
  assert.match(err, /^the credentials of node-1 are in .*\/nats$/m);
  assert.equal(statSync(join(dir, 'nats')).mode & 0o777, 0o700);
});

test('a reader that has seen enough is no failure, an output that is full is one', () => {
  const bash = (script: string) => {
    const command = `"${process.execPath}" "${join(import.meta.dirname, 'main.ts')}"`;
    const args = ['-c', script.replaceAll('gantry', command)];
    const { status, stderr } = spawnSync('bash', args, { encoding: 'utf8' });
    return { code: status, err: stderr };
  };
  const cut = bash(`gantry config docs | true; exit "\${PIPESTATUS[0]}"`);
  assert.deepEqual(cut, { code: 0, err: '' });
  const full = bash('gantry config docs > /dev/full');
  assert.equal(full.code, 1);
  assert.match(full.err, /^gantry: .*ENOSPC/);
});
