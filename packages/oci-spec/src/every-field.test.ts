import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { env } from 'node:process';
import { test } from 'node:test';
import { create, type DescMessage } from '@bufbuild/protobuf';
import { ContainerConfigSchema, PodSandboxConfigSchema } from '@gantry/proto';
import { containerEffects, type Effect, podEffects } from './field-effects.ts';
import { elsewhere } from './fields-elsewhere.ts';
import { containerSpec, pauseSpec } from './index.ts';
import { containerInput, pauseInput, plainSandbox } from './testing.ts';

/*
 * Every field that a kubelet can set has an effect on config.json, which stands in
 * golden/fields.json, or a reason why it has none. Fields are named by their way
 * from ContainerConfig or PodSandboxConfig.
 */

/** The ways to all fields without fields of their own. A repeated message is written as one. */
function leavesOf(message: DescMessage, way: string): string[] {
  return message.fields.flatMap((field) => {
    const name = `${way}.${field.localName}`;
    return field.message === undefined || name in elsewhere || `${name}.*` in elsewhere
      ? [name]
      : field.message.typeName.endsWith('Int64Value')
        ? [name]
        : leavesOf(field.message, name);
  });
}

const leaves = [
  ...leavesOf(ContainerConfigSchema, 'container'),
  ...leavesOf(PodSandboxConfigSchema, 'pod'),
];
const effects: Readonly<Record<string, Effect>> = { ...containerEffects, ...podEffects };

test('every field of a container and of a pod has an effect, or a reason for none', () => {
  const known = [
    ...Object.keys(effects),
    ...Object.keys(elsewhere).map((n) => n.replace('.*', '')),
  ];
  assert.deepEqual(leaves.toSorted(), known.toSorted());
});

test('no reason is given for a field that has an effect', () => {
  assert.deepEqual(
    Object.keys(elsewhere).filter((name) => name in effects),
    [],
  );
});

const file = new URL('golden/fields.json', import.meta.url);
const golden = env['UPDATE_GOLDEN']
  ? {}
  : (JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>);
const seen: Record<string, unknown> = {};

for (const [name, effect] of Object.entries(effects)) {
  test(`${name} changes config.json as golden/fields.json says`, () => {
    const changed = differences(specOf(name, effect.without), specOf(name, effect.with));
    assert.notDeepEqual(changed, {}, `${name} has no effect`);
    seen[name] = changed;
    if (!env['UPDATE_GOLDEN']) {
      assert.deepEqual(changed, golden[name]);
    }
  });
}

test('golden/fields.json has nothing that no test looks at', () => {
  if (env['UPDATE_GOLDEN']) {
    writeFileSync(file, `${JSON.stringify(seen, null, 2)}\n`);
    return;
  }
  assert.deepEqual(Object.keys(golden).toSorted(), Object.keys(effects).toSorted());
});

function specOf(name: string, { config = {}, changes = {} }: Effect['with']) {
  if (name.startsWith('container.')) {
    const made = create(ContainerConfigSchema, config);
    return containerSpec(
      containerInput(config, {
        // As sandbox-service finds them: the source is where the request says.
        mounts: made.mounts.map((request) => ({
          request,
          source: request.hostPath,
          propagation: { shared: true, slave: false },
        })),
        ...changes,
      }),
    );
  }
  const namespaces = { network: '/run/netns/pod1' };
  const sandbox = plainSandbox(config, { namespaces });
  return pauseSpec(pauseInput({ ...changes, sandbox }));
}

/** Each value that differs, by its path: before and after, null for none. */
function differences(before: unknown, after: unknown): Record<string, [unknown, unknown]> {
  const [old, now] = [flat(before), flat(after)];
  const paths = new Set([...old.keys(), ...now.keys()]);
  return Object.fromEntries(
    [...paths]
      .filter((path) => old.get(path) !== now.get(path))
      .map((path) => [path, [old.get(path) ?? null, now.get(path) ?? null]] as const),
  );
}

/** Lists as a whole: what moves in one is no change of each. */
function flat(value: unknown, path = ''): Map<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return new Map([[path, Array.isArray(value) ? JSON.stringify(value) : value]]);
  }
  return new Map(
    Object.entries(value).flatMap(([key, inner]) => [
      ...flat(inner, path === '' ? key : `${path}.${key}`),
    ]),
  );
}
