import type { Config } from '@gantry/config';
import { messageOf } from '@gantry/errors';
import { Field, SecurityProfile_ProfileType as ProfileType } from '@gantry/proto/nri';
import type { ValidationRequest } from '../plugins/plugin.ts';
import { requiredByPod } from './required-plugins.ts';
import type { BuiltinValidator } from './validate.ts';

type Rules = Config['nri']['default_validator'];

const name = 'default-validator';

/** The rules of the config (NRI, plugins/default-validator). */
export function defaultValidator(rules: Rules): BuiltinValidator {
  return async (request) => {
    const owners = ownersIn(request);
    const reason =
      checkHooks(rules, owners) ??
      checkSeccomp(rules, request, owners) ??
      checkNamespaces(rules, owners) ??
      checkSysctls(rules, owners) ??
      (await checkRequired(rules, request));
    return reason === undefined
      ? undefined
      : `validator "${name}" rejected the adjustment: ${reason}`;
  };
}

interface FieldsOwned {
  readonly simple: (field: Field) => string | undefined;
  /** Of each key. */
  readonly compound: (field: Field) => readonly string[];
}

function ownersIn({ container, owners }: ValidationRequest): FieldsOwned {
  const fields = owners?.owners[container?.id ?? ''];
  return {
    simple: (field) => fields?.simple[field],
    compound: (field) => Object.values(fields?.compound[field]?.owners ?? {}),
  };
}

function checkHooks(rules: Rules, owners: FieldsOwned): string | undefined {
  const owner = owners.simple(Field.OciHooks);
  return rules.reject_oci_hook_adjustment && owner !== undefined
    ? `${owner} added OCI hooks`
    : undefined;
}

function checkSeccomp(
  rules: Rules,
  { container }: ValidationRequest,
  owners: FieldsOwned,
): string | undefined {
  const owner = owners.simple(Field.SeccompPolicy);
  if (owner === undefined) {
    return undefined;
  }
  switch (container?.linux?.seccompProfile?.profileType ?? ProfileType.UNCONFINED) {
    case ProfileType.RUNTIME_DEFAULT:
      return rules.reject_runtime_default_seccomp_adjustment
        ? `${owner} changed the default seccomp policy`
        : undefined;
    case ProfileType.LOCALHOST:
      return rules.reject_custom_seccomp_adjustment
        ? `${owner} changed a custom seccomp policy`
        : undefined;
    default:
      return rules.reject_unconfined_seccomp_adjustment
        ? `${owner} gave a seccomp policy to an unconfined container`
        : undefined;
  }
}

function checkNamespaces(rules: Rules, owners: FieldsOwned): string | undefined {
  const plugins = owners.compound(Field.Namespace);
  return rules.reject_namespace_adjustment && plugins.length > 0
    ? `${plugins.join(', ')} changed namespaces`
    : undefined;
}

function checkSysctls(rules: Rules, owners: FieldsOwned): string | undefined {
  const plugins = owners.compound(Field.Sysctl);
  return rules.reject_sysctl_adjustment && plugins.length > 0
    ? `${plugins.join(', ')} changed sysctls`
    : undefined;
}

async function checkRequired(
  rules: Rules,
  { pod, container, plugins }: ValidationRequest,
): Promise<string | undefined> {
  const annotations = pod?.annotations ?? {};
  const tolerance = rules.tolerate_missing_plugins_annotation;
  const isTolerated = tolerance !== '' && annotations[tolerance] === 'true';
  const always = isTolerated ? [] : rules.required_plugins;
  let asked: readonly string[];
  try {
    asked = await requiredByPod(annotations, container?.name ?? '');
  } catch (error) {
    return messageOf(error);
  }
  const present = new Set(plugins.flatMap((p) => [p.name, `${p.index}-${p.name}`]));
  const missing = [...new Set([...always, ...asked])].filter((plugin) => !present.has(plugin));
  return missing.length === 0 ? undefined : `required plugins are missing: ${missing.join(', ')}`;
}
