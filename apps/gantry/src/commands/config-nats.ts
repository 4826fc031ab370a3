import { natsAccountOf } from '@gantry/bus';
import { RuntimeError } from '@gantry/errors';
import type { Invocation } from '../invocation.ts';

/**
 * `gantry config nats`: writes the credentials of this node's services for a NATS server that
 * somebody else runs, and prints the account that the server needs for them.
 */
export async function configNats(invocation: Invocation): Promise<void> {
  const { nats, node_name, state_dir } = invocation.config();
  if (nats.url === '') {
    throw new RuntimeError(
      'failed-precondition',
      'nats.url is not set: gantry up starts a NATS server of its own, and makes its users',
    );
  }
  if (nats.credentials_dir.startsWith(`${state_dir}/`)) {
    throw new RuntimeError(
      'failed-precondition',
      `nats.credentials_dir is in ${state_dir}, which a reboot empties: set it to one that stays, such as /etc/gantry/nats`,
    );
  }
  invocation.out(await natsAccountOf(node_name, nats.credentials_dir));
  invocation.note(`the credentials of ${node_name} are in ${nats.credentials_dir}`);
}
