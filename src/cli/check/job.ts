import type { Format, Level, ModelName, Verdict } from '../../history/index.ts'

/** The path that stands for standard input. */
export const STANDARD_INPUT = '-'

/** What the command hands to the process that checks. Plain data. */
export interface CheckJob {
  /** A file, a folder of Cobra's logs, or `-`. */
  readonly path: string
  readonly model: ModelName
  /** A module that exports a model, in place of `model`. */
  readonly modelFile?: string
  readonly level?: Level
  readonly format?: Format
  readonly independent?: boolean
  readonly allowDuplicates?: boolean
  readonly total?: number
  readonly negativeBalances?: boolean
  readonly initial?: unknown
  /** For how long the check itself may go on. */
  readonly timeoutMs?: number
}

/** What that process answers. */
export type CheckAnswer =
  | { readonly kind: 'verdict'; readonly verdict: Verdict }
  | { readonly kind: 'malformed'; readonly code: string; readonly message: string }
  | { readonly kind: 'usage'; readonly message: string }
  | { readonly kind: 'unreadable'; readonly message: string }
  | { readonly kind: 'failed'; readonly message: string }
