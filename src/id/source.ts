import { isHoldfastError } from '../core/errors.ts'
import { IdCounterError, IdExhaustedError } from './errors.ts'
import { SEQUENCE_MAX } from './layout.ts'

/**
 * Where sequence numbers come from: a counter that is moved on before what it counts is used, so that a crash leaves a
 * gap and never a repetition.
 */
export interface SequenceSource {
  /** True where all machines see one counter per instance, so that an instance number may move between them. */
  readonly shared: boolean
  /** @throws IdInUseError, IdStateError, or what the store says */
  open(instance: number): Promise<OpenSource>
}

export interface OpenSource {
  /**
   * Reserves `count` sequence numbers from the one it gives on: durably, before it answers, and for good. When it
   * rejects, whether the numbers are reserved may be unknown; they are not used either way.
   * @throws IdExhaustedError
   */
  reserve(count: number): Promise<number>
  close(): Promise<void>
}

export const RESERVE_MAX = 2 ** 32

/** What a server was asked for. @throws IdCounterError for what its driver throws; errors of ours as they are */
export async function answered<T>(server: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    if (isHoldfastError(error)) throw error
    throw new IdCounterError(`${server} did not give a block of ids (${(error as Error).message})`, {
      cause: error,
    })
  }
}

/** @throws IdExhaustedError when the last of `count` numbers from `first` on would be past 2^48 - 1 */
export function checkFits(first: number | bigint, count: number): void {
  if (BigInt(first) + BigInt(count) - 1n > SEQUENCE_MAX)
    throw new IdExhaustedError(
      `the sequence numbers of this instance are used up: ${count} from ${first} on do not fit below 2^48`,
    )
}
