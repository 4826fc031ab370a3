import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, type DescMessage, toBinary, toJson } from '@bufbuild/protobuf';
import {
  ContainerConfigSchema,
  ImageService,
  LinuxContainerSecurityContextSchema,
  NamespaceMode,
  PodSandboxConfigSchema,
  RuntimeService,
  StopContainerRequestSchema,
  VersionResponseSchema,
} from './index.ts';

/** Field numbers by name: what a kubelet and we must agree on. */
function numbersOf(schema: DescMessage): Record<string, number> {
  return Object.fromEntries(schema.fields.map((field) => [field.name, field.number]));
}

test('both services have the names under which a kubelet calls them', () => {
  assert.equal(RuntimeService.typeName, 'runtime.v1.RuntimeService');
  assert.equal(ImageService.typeName, 'runtime.v1.ImageService');
  const streaming = RuntimeService.methods.filter((m) => m.methodKind === 'server_streaming');
  assert.deepEqual(streaming.map((m) => m.name).sort(), [
    'GetContainerEvents',
    'StreamContainerStats',
    'StreamContainers',
    'StreamPodSandboxMetrics',
    'StreamPodSandboxStats',
    'StreamPodSandboxes',
  ]);
});

test('messages that cross from a kubelet have the numbers of the CRI', () => {
  assert.deepEqual(numbersOf(PodSandboxConfigSchema), {
    metadata: 1,
    hostname: 2,
    log_directory: 3,
    dns_config: 4,
    port_mappings: 5,
    labels: 6,
    annotations: 7,
    linux: 8,
    windows: 9,
  });
  const container = numbersOf(ContainerConfigSchema);
  assert.equal(container['command'], 3);
  assert.equal(container['log_path'], 11);
  assert.equal(container['linux'], 15);
  assert.equal(numbersOf(LinuxContainerSecurityContextSchema)['run_as_user'], 5);
});

test('a message has the bytes that protobuf prescribes', () => {
  const stop = create(StopContainerRequestSchema, { containerId: 'ab', timeout: 300n });
  assert.deepEqual(
    [...toBinary(StopContainerRequestSchema, stop)],
    [0x0a, 2, 0x61, 0x62, 0x10, 0xac, 2],
  );
});

test('JSON has the names that crictl prints', () => {
  const version = create(VersionResponseSchema, { runtimeApiVersion: 'v1' });
  assert.deepEqual(toJson(VersionResponseSchema, version), { runtimeApiVersion: 'v1' });
  assert.equal(NamespaceMode.TARGET, 3);
});
