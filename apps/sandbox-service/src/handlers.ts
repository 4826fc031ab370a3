import { quote, RuntimeError } from '@gantry/errors';
import type { RuntimeHandler } from './ports.ts';

/** The runtime handlers of this node, by name, as they were probed at start. */
export class Handlers {
  readonly #handlers: ReadonlyMap<string, RuntimeHandler>;
  readonly #defaultName: string;

  constructor(handlers: readonly RuntimeHandler[], defaultName: string) {
    this.#handlers = new Map(handlers.map((handler) => [handler.name, handler]));
    this.#defaultName = defaultName;
  }

  get all(): readonly RuntimeHandler[] {
    return [...this.#handlers.values()];
  }

  get default(): RuntimeHandler | undefined {
    return this.#handlers.get(this.#defaultName);
  }

  /** The handler that a pod asks for, the default one for ''. Throws when it is unknown or can't run here. */
  choose(requested: string): RuntimeHandler {
    const name = requested === '' ? this.#defaultName : requested;
    const handler = this.#handlers.get(name);
    if (handler === undefined) {
      const known = [...this.#handlers.keys()].join(', ');
      throw new RuntimeError(
        'invalid-argument',
        `runtime handler ${quote(name)} is not configured; known: ${known}`,
      );
    }
    if (handler.unusable !== undefined) {
      throw new RuntimeError(
        'failed-precondition',
        `runtime handler "${name}" is not usable: ${handler.unusable}`,
      );
    }
    return handler;
  }

  /**
   * The handler of what is to be taken down. One that is no longer configured is known by its name
   * alone: its pods must end all the same.
   */
  forTeardown(name: string): RuntimeHandler {
    return (
      this.#handlers.get(name) ?? {
        name,
        path: '',
        systemdCgroup: false,
        privilegedWithoutHostDevices: false,
        unusable: 'no longer configured',
      }
    );
  }

  /** The handler of a container that exists already, usable or not. */
  get(name: string): RuntimeHandler {
    const handler = this.#handlers.get(name);
    if (handler === undefined) {
      throw new RuntimeError(
        'failed-precondition',
        `runtime handler "${name}" is no longer configured: put it back until its containers are gone`,
      );
    }
    return handler;
  }
}
