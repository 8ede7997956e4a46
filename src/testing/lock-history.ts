import { checkArguments, isList } from '../core/options.ts'
/** What a holder of an exclusive lock did, on one clock: when it began to rely on the lock, and when it stopped. */
export interface LockSpan {
  readonly holder: string
  readonly token: bigint
  readonly fromMs: number
  readonly toMs: number
}

/** A write that the guard let pass, in the order in which the resource took them. */
export interface GuardedWrite {
  readonly holder: string
  readonly token: bigint
}

/**
 * Says what is wrong with the spans of one exclusive lock: two that overlap, a token that did not grow, one that two
 * holders had. Empty when nothing is. Pure.
 */
export function checkLockSpans(spans: readonly LockSpan[]): string[] {
  checkArguments('checkLockSpans', isList('spans', spans))
  const ordered = [...spans].sort((a, b) => a.fromMs - b.fromMs || a.toMs - b.toMs)
  return ordered.slice(1).flatMap((span, i) => {
    const before = ordered[i] as LockSpan
    const problems: string[] = []
    if (span.fromMs < before.toMs) {
      problems.push(
        `${span.holder} entered at ${span.fromMs}, before ${before.holder} left at ${before.toMs}`,
      )
    }
    if (span.token <= before.token) {
      problems.push(`${span.holder} had token ${span.token} after ${before.holder} had ${before.token}`)
    }
    return problems
  })
}

/** Says what is wrong with the accepted writes: a token that went back, or one that two holders presented. Pure. */
export function checkGuardedWrites(writes: readonly GuardedWrite[]): string[] {
  checkArguments('checkGuardedWrites', isList('writes', writes))
  return writes.slice(1).flatMap((write, i) => {
    const before = writes[i] as GuardedWrite
    if (write.token < before.token) {
      return [`write ${i + 2} by ${write.holder} had token ${write.token} after ${before.token}`]
    }
    return write.token === before.token && write.holder !== before.holder
      ? [`token ${write.token} was presented by ${before.holder} and by ${write.holder}`]
      : []
  })
}
