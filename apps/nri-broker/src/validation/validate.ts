import { isKind, messageOf, RuntimeError } from '@gantry/errors';
import type { MergedAdjustment } from '@gantry/nri';
import { type Container, Event, type PodSandbox } from '@gantry/proto/nri';
import type { Plugin, ValidationRequest } from '../plugins/plugin.ts';

export interface Validation {
  readonly pod: PodSandbox;
  /** As it was before any adjustment. */
  readonly container: Container;
  readonly merged: MergedAdjustment;
  /** Those that were asked for adjustments, or could have been. */
  readonly plugins: readonly Plugin[];
}

/** Throws `failed-precondition` where what plugins want together is not allowed. */
export type Validate = (validation: Validation) => Promise<void>;

/** A rule of the broker's own: why not, or undefined. */
export type BuiltinValidator = (request: ValidationRequest) => Promise<string | undefined>;

/**
 * Asks the plugins that validate, all at once, and `builtin`. Here a plugin that
 * fails counts as one that refuses: it may be the one that guards the node.
 */
export function validateBy(builtin: BuiltinValidator | undefined): Validate {
  return async ({ pod, container, merged, plugins }) => {
    const validators = plugins.filter((plugin) =>
      plugin.wants(Event.VALIDATE_CONTAINER_ADJUSTMENT),
    );
    if (builtin === undefined && validators.length === 0) {
      return;
    }
    const request: ValidationRequest = {
      pod,
      container,
      ...(merged.result && { adjust: merged.result }),
      update: merged.updates,
      owners: merged.owners.message,
      plugins: plugins.filter(isReady).map(({ name: { index, name } }) => ({
        $typeName: 'nri.pkg.api.v1alpha1.PluginInstance',
        index,
        name,
      })),
    };
    const verdicts = await Promise.all([
      ...validators.map((plugin) => askValidator(plugin, request)),
      ...(builtin === undefined ? [] : [builtin(request)]),
    ]);
    const reasons = verdicts.filter((reason) => reason !== undefined);
    if (reasons.length > 0) {
      throw new RuntimeError('failed-precondition', reasons.join('; '));
    }
  };
}

/** One that was dropped while it was asked has not taken part. */
function isReady({ state }: Plugin): boolean {
  return state === 'ready';
}

async function askValidator(
  plugin: Plugin,
  request: ValidationRequest,
): Promise<string | undefined> {
  try {
    const { reject, reason } = await plugin.validate(request);
    return reject ? `validator "${plugin.fullName}" rejected the adjustment: ${reason}` : undefined;
  } catch (error) {
    return isKind(error, 'unimplemented')
      ? undefined
      : `validator "${plugin.fullName}" failed: ${messageOf(error)}`;
  }
}
