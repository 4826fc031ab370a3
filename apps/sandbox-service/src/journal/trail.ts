/** A step that was begun. */
export interface TrailMark {
  readonly step: string;
  /** Since the operation began. */
  readonly beganAfterMs: number;
  /** Absent while it runs. */
  readonly tookMs?: number;
  readonly error?: string;
}

export interface OpenMark {
  end(error?: string): void;
}

/** Which steps of one operation were begun, when, and how they ended. */
export class Trail {
  readonly #beganAt = performance.now();
  readonly #marks: TrailMark[] = [];
  readonly #onChange: () => void;

  /** `onChange` is called after each mark. */
  constructor(onChange: () => void = () => {}) {
    this.#onChange = onChange;
  }

  get marks(): readonly TrailMark[] {
    return this.#marks;
  }

  begin(step: string): OpenMark {
    const beganAfterMs = this.#elapsedMs();
    const index = this.#marks.push({ step, beganAfterMs }) - 1;
    this.#onChange();
    return {
      end: (error) => {
        const tookMs = Math.round((this.#elapsedMs() - beganAfterMs) * 10) / 10;
        this.#marks[index] = {
          step,
          beganAfterMs,
          tookMs,
          ...(error === undefined ? {} : { error }),
        };
        this.#onChange();
      },
    };
  }

  #elapsedMs(): number {
    return Math.round((performance.now() - this.#beganAt) * 10) / 10;
  }
}
