import { readFile } from 'node:fs/promises';
import type { Config } from '@gantry/config';
import { messageOf } from '@gantry/errors';
import { containerLabelFiles, isKnownLabel, missingTool, selinuxMode } from '@gantry/host';
import { parseLxcContexts } from '@gantry/oci-spec';
import { type Finding, ok, warn } from './finding.ts';
import type { HostFiles } from './host-files.ts';

/** What sandbox-service loads at its start. */
const defaultProfile = 'gantry-default';

/** How far AppArmor can hold containers here. `parser`: of apparmor_parser, where that is installed. */
export function checkAppArmor(files: HostFiles, parser: string | undefined): Finding {
  const check = 'AppArmor';
  if (files.read('/sys/module/apparmor/parameters/enabled')?.trim() !== 'Y') {
    return ok(check, 'off: containers that ask for a profile are refused');
  }
  const profiles = files.read('/sys/kernel/security/apparmor/profiles');
  if (profiles === undefined) {
    return warn(check, 'on, its profiles can not be read', 'run it with sudo');
  }
  if (profiles.split('\n').some((line) => line.startsWith(`${defaultProfile} (`))) {
    return ok(check, `on, profile ${defaultProfile} is loaded`);
  }
  const found = `on, profile ${defaultProfile} is not loaded`;
  return parser === undefined
    ? warn(
        check,
        `${found}: containers that ask for the default are refused, others have none`,
        missingTool('apparmor_parser'),
      )
    : warn(check, found, 'Gantry loads it at its start: its log says what went wrong');
}

/** Whether pods get labels where SELinux is on. `isKnown` asks the kernel but in tests. */
export async function checkSelinux(
  { pods }: Pick<Config, 'pods'>,
  {
    root = '/',
    isKnown = isKnownLabel,
  }: {
    readonly root?: string;
    readonly isKnown?: (label: string) => Promise<boolean>;
  } = {},
): Promise<Finding> {
  const check = 'SELinux';
  const mode = await selinuxMode(root);
  if (mode === 'off') {
    return ok(check, 'off');
  }
  if (!pods.selinux) {
    return ok(check, `${mode}, pods get no labels (pods.selinux = false)`);
  }
  const fix =
    'pods run without labels: install a policy with containers, such as container-selinux';
  for (const file of await containerLabelFiles(root)) {
    const labels = parseLxcContexts(await readFile(file, 'utf8').catch(() => ''));
    if (labels === undefined) {
      continue;
    }
    try {
      for (const label of [labels.process, labels.file]) {
        if (!(await isKnown(label))) {
          return warn(check, `${mode}, but its policy does not know ${label} of ${file}`, fix);
        }
      }
    } catch (error) {
      return warn(check, `${mode}, not asked: ${messageOf(error)}`, 'run it with sudo');
    }
    return ok(check, `${mode}, containers are ${labels.process}`);
  }
  return warn(check, `${mode}, but its policy names no labels of containers`, fix);
}
