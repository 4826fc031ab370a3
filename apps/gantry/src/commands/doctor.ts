import { release } from 'node:os';
import { findTool } from '@gantry/host';
import { checkCgroups } from '../doctor/check-cgroups.ts';
import { checkBasics, checkDisk, checkOverlay } from '../doctor/check-host.ts';
import { checkKernel } from '../doctor/check-kernel.ts';
import { checkKubelet } from '../doctor/check-kubelet.ts';
import { checkLayerStore } from '../doctor/check-layer-store.ts';
import { checkAppArmor, checkSelinux } from '../doctor/check-lsm.ts';
import { checkStack } from '../doctor/check-stack.ts';
import { checkCni, checkTools } from '../doctor/check-tools.ts';
import { findingsText } from '../doctor/finding.ts';
import { hostFiles } from '../doctor/host-files.ts';
import { flag, type Invocation } from '../invocation.ts';
import { formatted, outputFormat } from '../output/format.ts';

/** `gantry doctor`: is this host ready? Exit code 1 when something failed. */
export async function doctor(invocation: Invocation): Promise<number> {
  const config = invocation.config();
  const files = hostFiles();
  const findings = [
    ...checkBasics(),
    ...(await checkTools(config)),
    await checkOverlay(config),
    await checkLayerStore(config),
    ...(await checkDisk(config)),
    ...(await checkCgroups(config, files)),
    ...checkKernel(files, release()),
    checkAppArmor(files, findTool('apparmor_parser')),
    await checkSelinux(config),
    ...checkCni(config, files),
    ...(await checkStack(config)),
    ...checkKubelet(config, files),
  ];
  const format = outputFormat(invocation);
  const quiet = flag(invocation, 'quiet');
  invocation.out(
    format === 'table'
      ? findingsText(findings, quiet)
      : formatted(
          format,
          findings.filter(({ verdict }) => !quiet || verdict !== 'ok'),
        ),
  );
  return findings.some((finding) => finding.verdict === 'fail') ? 1 : 0;
}
