import { RuntimeError } from '@gantry/errors';
import {
  array,
  boolean,
  check,
  getDotPath,
  type InferOutput,
  integer,
  maxValue,
  minValue,
  number,
  optional,
  picklist,
  pipe,
  record,
  regex,
  safeParse,
  strictObject,
  string,
} from 'valibot';
import { hookSchema, hookStages } from '../hooks/stages.ts';
import { isCdiDevice, isCdiKind } from './device-name.ts';

const id = pipe(number(), integer(), minValue(0), maxValue(2 ** 32 - 2));
const absolute = pipe(string(), regex(/^\/[^\0]*$/, 'must be an absolute path'));

const deviceNode = strictObject({
  path: absolute,
  hostPath: optional(absolute),
  type: optional(picklist(['b', 'c', 'u', 'p'])),
  major: optional(pipe(number(), integer(), minValue(0))),
  minor: optional(pipe(number(), integer(), minValue(0))),
  fileMode: optional(pipe(number(), integer(), minValue(0))),
  permissions: optional(pipe(string(), regex(/^[rwm]{0,3}$/, 'must be of r, w and m'))),
  uid: optional(id),
  gid: optional(id),
});

const mount = strictObject({
  hostPath: pipe(string(), regex(/^[^\0]+$/, 'must be a path')),
  containerPath: absolute,
  options: optional(array(string()), []),
  type: optional(string()),
});

const { entries: hookEntries } = hookSchema;

// What changes a container: an edit that is not known here must not be left out in silence.
const edits = strictObject({
  env: optional(array(pipe(string(), regex(/^[^=\0]+=[^\0]*$/, 'must be NAME=value'))), []),
  deviceNodes: optional(array(deviceNode), []),
  mounts: optional(array(mount), []),
  hooks: optional(array(strictObject({ hookName: picklist(hookStages), ...hookEntries })), []),
  additionalGids: optional(array(id), []),
  intelRdt: optional(
    strictObject({
      closID: optional(string()),
      l3CacheSchema: optional(string()),
      memBwSchema: optional(string()),
      enableCMT: optional(boolean()),
      enableMBM: optional(boolean()),
    }),
  ),
});

const annotations = optional(record(string(), string()), {});

const schema = strictObject({
  cdiVersion: pipe(
    string(),
    regex(/^v?(0\.[3-9]|1\.[01])\.\d+$/, 'is not a version from 0.3 to 1.1'),
  ),
  kind: pipe(string(), check(isCdiKind, 'must be vendor/class')),
  annotations,
  devices: array(
    strictObject({
      name: pipe(string(), check(isCdiDevice, 'is no name of a device')),
      annotations,
      containerEdits: edits,
    }),
  ),
  containerEdits: optional(edits),
});

export type CdiEdits = InferOutput<typeof edits>;
export type CdiDeviceNode = InferOutput<typeof deviceNode>;

/** A file that describes devices (Container Device Interface, SPEC.md). */
export interface CdiSpec {
  readonly kind: string;
  readonly devices: ReadonlyMap<string, CdiEdits>;
  /** Made once for each container that gets any of the devices. */
  readonly common?: CdiEdits;
}

/** Parses the content of a CDI file. Throws `failed-precondition` that begins with `what`. */
export function parseCdiSpec(document: unknown, what: string): CdiSpec {
  const refuse = (why: string): never => {
    throw new RuntimeError('failed-precondition', `${what}: ${why}`);
  };
  const parsed = safeParse(schema, document);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    return refuse(`${getDotPath(issue) ?? 'file'}: ${issue.message}`);
  }
  const { kind, devices, containerEdits } = parsed.output;
  const byName = new Map(devices.map((device) => [device.name, device.containerEdits]));
  if (byName.size < devices.length) {
    refuse('two devices of one name');
  }
  return {
    kind,
    devices: byName,
    ...(containerEdits === undefined ? {} : { common: containerEdits }),
  };
}

/** A directory's files, in the order of their names. */
export type CdiDirectory = readonly { readonly path: string; readonly spec: CdiSpec }[];

/**
 * The edits that devices stand for. Of the directories a later one counts more;
 * two files of one directory with the same device contradict each other. Throws
 * `invalid-argument` for devices that nobody describes, all of them by name.
 */
export function editsOf(
  names: readonly { readonly kind: string; readonly name: string }[],
  directories: readonly CdiDirectory[],
): readonly CdiEdits[] {
  const edits: CdiEdits[] = [];
  const missing: string[] = [];
  const used = new Set<CdiSpec>();
  for (const { kind, name } of names) {
    const spec = specOf(kind, name, directories);
    const own = spec?.devices.get(name);
    if (spec === undefined || own === undefined) {
      missing.push(`${kind}=${name}`);
      continue;
    }
    if (spec.common !== undefined && !used.has(spec)) {
      edits.push(spec.common);
    }
    used.add(spec);
    edits.push(own);
  }
  if (missing.length > 0) {
    const message = `CDI device injection failed: unresolvable CDI devices ${missing.join(', ')}`;
    throw new RuntimeError('invalid-argument', message);
  }
  return edits;
}

function specOf(
  kind: string,
  name: string,
  directories: readonly CdiDirectory[],
): CdiSpec | undefined {
  for (const directory of directories.toReversed()) {
    const having = directory.filter(({ spec }) => spec.kind === kind && spec.devices.has(name));
    if (having.length > 1) {
      const paths = having.map(({ path }) => path).join(' and ');
      const message = `CDI device ${kind}=${name} is in ${paths}`;
      throw new RuntimeError('failed-precondition', message);
    }
    const [only] = having;
    if (only !== undefined) {
      return only.spec;
    }
  }
  return undefined;
}
