import { readFile } from 'node:fs/promises';

/** How one spec ended. */
export interface SpecResult {
  /** The texts of its containers and its own, joined by spaces, as ginkgo shows it. */
  readonly name: string;
  readonly outcome: 'passed' | 'failed' | 'skipped';
  /** Why it failed or was skipped; empty for one that a filter left out. */
  readonly message: string;
  /** Where in the suite it failed, as file:line. */
  readonly location: string;
  /** What it told on the way. */
  readonly output: string;
  readonly seconds: number;
}

/** The parts of ginkgo's JSON report that are read here (ginkgo v2, types.Report). */
interface GinkgoReport {
  readonly SpecReports: readonly {
    readonly ContainerHierarchyTexts: readonly string[] | null;
    readonly LeafNodeType: string;
    readonly LeafNodeText: string;
    readonly State: string;
    readonly RunTime: number;
    readonly CapturedGinkgoWriterOutput?: string;
    readonly Failure?: {
      readonly Message?: string;
      readonly ForwardedPanic?: string;
      readonly Location?: { readonly FileName: string; readonly LineNumber: number };
    };
  }[];
}

/**
 * Reads the report of a run. A step of the whole suite (BeforeSuite and the like) is a result only when it
 * failed. Any state that is neither passed nor skipped, such as interrupted or timed out, is a failure.
 */
export async function readReport(file: string): Promise<readonly SpecResult[]> {
  const reports = JSON.parse(await readFile(file, 'utf8')) as readonly GinkgoReport[];
  return reports.flatMap((report) => report.SpecReports.flatMap(resultOf));
}

function resultOf(spec: GinkgoReport['SpecReports'][number]): SpecResult[] {
  const isSpec = spec.LeafNodeType === 'It';
  if (!isSpec && spec.State === 'passed') {
    return [];
  }
  const { Failure: failure } = spec;
  const at = failure?.Location;
  return [
    {
      name: [
        ...(spec.ContainerHierarchyTexts ?? []),
        isSpec ? spec.LeafNodeText : spec.LeafNodeType,
      ].join(' '),
      outcome: outcomeOf(spec.State),
      message: [failure?.Message, failure?.ForwardedPanic].filter(Boolean).join(': '),
      location:
        at === undefined || at.FileName === ''
          ? ''
          : `${at.FileName.replace(/^.*@v?[^/]*\//, '')}:${at.LineNumber}`,
      output: spec.CapturedGinkgoWriterOutput ?? '',
      seconds: spec.RunTime / 1e9,
    },
  ];
}

function outcomeOf(state: string): SpecResult['outcome'] {
  if (state === 'passed') {
    return 'passed';
  }
  return state === 'skipped' || state === 'pending' ? 'skipped' : 'failed';
}
