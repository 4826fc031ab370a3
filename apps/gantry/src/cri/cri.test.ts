import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  ContainerConfigSchema,
  MountPropagation,
  NamespaceMode,
  PodSandboxConfigSchema,
} from '@gantry/proto';
import { testDir } from '../testing-dir.ts';
import { readConfigFile } from './config-file.ts';
import { pick } from './find-id.ts';

function file(t: TestContext, text: string): string {
  const path = join(testDir(t), 'config');
  writeFileSync(path, text);
  return path;
}
const silent = (): void => undefined;

test('a pod config in JSON with snake_case names is read', (t) => {
  const path = file(
    t,
    `{"metadata": {"name": "p", "namespace": "d", "uid": "u", "attempt": 1},
      "log_directory": "/tmp/logs",
      "port_mappings": [{"protocol": 0, "container_port": 80, "host_port": 8080}],
      "linux": {"security_context": {"namespace_options": {"network": 2, "pid": "CONTAINER"}}}}`,
  );
  const config = readConfigFile(PodSandboxConfigSchema, path, silent);
  assert.equal(config.metadata?.attempt, 1);
  assert.equal(config.logDirectory, '/tmp/logs');
  assert.equal(config.portMappings[0]?.hostPort, 8080);
  const options = config.linux?.securityContext?.namespaceOptions;
  assert.equal(options?.network, NamespaceMode.NODE);
  assert.equal(options.pid, NamespaceMode.CONTAINER);
});

test('a container config in YAML with camelCase names is read, int64 and empty values too', (t) => {
  const path = file(
    t,
    `metadata: {name: c}
image: {image: busybox}
labels:
logPath: c.log
mounts:
- {hostPath: /a, containerPath: /b, propagation: PROPAGATION_HOST_TO_CONTAINER}
linux:
  resources: {memoryLimitInBytes: 1048576}
  securityContext: {runAsUser: {value: 1000}}
`,
  );
  const config = readConfigFile(ContainerConfigSchema, path, silent);
  assert.equal(config.logPath, 'c.log');
  assert.equal(config.linux?.resources?.memoryLimitInBytes, 1_048_576n);
  assert.equal(config.linux.securityContext?.runAsUser?.value, 1000n);
  assert.equal(config.mounts[0]?.propagation, MountPropagation.PROPAGATION_HOST_TO_CONTAINER);
});

test('a field that the CRI does not have is ignored and told', (t) => {
  const notes: string[] = [];
  const path = file(t, 'metadata: {name: p}\nhostnam: x\n');
  const config = readConfigFile(PodSandboxConfigSchema, path, (text) => notes.push(text));
  assert.equal(config.metadata?.name, 'p');
  assert.match(notes.join(), /the CRI has no field "hostnam": ignored/);
});

test('a file that is no config is refused with its name', (t) => {
  for (const text of ['- a\n', '"x"', '', 'a: [', 'metadata: 7\n']) {
    const path = file(t, text);
    assert.throws(
      () => readConfigFile(PodSandboxConfigSchema, path, silent),
      (error: Error) => error.message.includes(path),
      text,
    );
  }
  assert.throws(() => readConfigFile(PodSandboxConfigSchema, '/nonexistent', silent), {
    kind: 'invalid-argument',
  });
});

test('an object is found by its name, else by the beginning of its id', () => {
  const objects = [
    { id: 'abc1', name: 'web' },
    { id: 'abd2', name: 'abc' },
    { id: 'f00d', name: 'twin' },
    { id: 'beef', name: 'twin' },
  ];
  assert.equal(pick('pod', objects, 'web'), 'abc1');
  assert.equal(pick('pod', objects, 'abc'), 'abd2');
  assert.equal(pick('pod', objects, 'f0'), 'f00d');
  assert.equal(pick('pod', objects, 'nobody'), 'nobody');
  assert.throws(() => pick('pod', objects, 'ab'), /pod "ab" stands for several: abc1, abd2/);
  assert.throws(() => pick('pod', objects, 'twin'), { kind: 'invalid-argument' });
});
