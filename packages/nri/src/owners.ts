import { create } from '@bufbuild/protobuf';
import { RuntimeError } from '@gantry/errors';
import {
  CompoundFieldOwnersSchema,
  Field,
  type FieldOwners,
  FieldOwnersSchema,
  type OwningPlugins,
  OwningPluginsSchema,
} from '@gantry/proto/nri';

const marker = '-';

/** The key of what an entry wants removed, or undefined when it is none of those. */
export function removedKey(key: string): string | undefined {
  return key.startsWith(marker) ? key.slice(marker.length) : undefined;
}

export function removalOf(key: string): string {
  return marker + key;
}

/** One field of a container, and for those with many entries the key of one. */
export interface FieldKey {
  readonly field: Field;
  readonly key?: string;
}

/** Who owns one field of a container. */
export interface OwnedField extends FieldKey {
  /** The plugin's name; with "-" before it where it removed the field. */
  readonly owner: string;
}

/** Which plugin has set or removed which field of which container; the second who tries is refused. */
export class Owners {
  // Keys come from plugins: never a plain object.
  readonly #containers = new Map<string, Map<string, OwnedField>>();

  /** As validators get it. */
  get message(): OwningPlugins {
    const owners: Record<string, FieldOwners> = {};
    for (const [id, fields] of this.#containers) {
      const message = create(FieldOwnersSchema);
      for (const { field, key, owner } of fields.values()) {
        if (key === undefined) {
          message.simple[field] = owner;
        } else {
          message.compound[field] ??= create(CompoundFieldOwnersSchema);
          message.compound[field].owners[key] = owner;
        }
      }
      owners[id] = message;
    }
    return create(OwningPluginsSchema, { owners });
  }

  of(containerId: string): readonly OwnedField[] {
    return [...(this.#containers.get(containerId)?.values() ?? [])];
  }

  /**
   * Throws `failed-precondition` with both names when another plugin has set or
   * removed it. Who has removed a field may set it anew.
   */
  check(containerId: string, where: FieldKey, plugin: string): void {
    const owner = this.#get(containerId, where);
    if (owner === undefined || owner === plugin || owner === removalOf(plugin)) {
      return;
    }
    const other = removedKey(owner) ?? owner;
    throw new RuntimeError(
      'failed-precondition',
      `plugins "${plugin}" and "${other}" both tried to set ${describe(where)}`,
    );
  }

  claim(containerId: string, where: FieldKey, plugin: string): void {
    this.check(containerId, where, plugin);
    this.#set(containerId, where, plugin);
  }

  /** Removing is always allowed; from then on the field is `plugin`'s. */
  clear(containerId: string, where: FieldKey, plugin: string): void {
    this.#set(containerId, where, removalOf(plugin));
  }

  /** For fields that plugins share, such as hooks: all of them, joined by commas. */
  share(containerId: string, where: FieldKey, plugin: string): void {
    const owner = this.#get(containerId, where);
    const names = owner === undefined ? [] : owner.split(',');
    this.#set(containerId, where, [...new Set([...names, plugin])].join(','));
  }

  #get(containerId: string, where: FieldKey): string | undefined {
    return this.#containers.get(containerId)?.get(textOf(where))?.owner;
  }

  #set(containerId: string, where: FieldKey, owner: string): void {
    let fields = this.#containers.get(containerId);
    if (fields === undefined) {
      fields = new Map();
      this.#containers.set(containerId, fields);
    }
    fields.set(textOf(where), { ...where, owner });
  }
}

function textOf({ field, key }: FieldKey): string {
  return key === undefined ? String(field) : `${field} ${key}`;
}

const fieldNames = new Map<Field, string>(
  Object.entries(Field).map(([name, field]) => [field, name]),
);

/** As the protocol has it, such as MemLimit. */
export function fieldName(field: Field): string {
  return fieldNames.get(field) ?? `field ${field}`;
}

function describe({ field, key }: FieldKey): string {
  return key === undefined ? fieldName(field) : `${fieldName(field)} [${key}]`;
}
