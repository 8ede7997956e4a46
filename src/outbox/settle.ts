import type { PublishResult } from '../broker/broker.ts'
import type { ReadyRow } from './relay-statements.ts'

/** A message that was not stored, and why. */
export interface Refusal {
  readonly row: ReadyRow
  readonly error: unknown
}

/** What became of one batch. */
export interface Settled {
  /** With the broker, to be deleted. */
  readonly stored: ReadyRow[]
  /** Refused: an attempt to count. At most one per key. */
  readonly refused: Refusal[]
  /** The first that got no answer though nothing before it had failed: the broker is in trouble, not the message. */
  readonly unknown: Refusal | undefined
}

/** Reads the broker's answers. Messages that stand behind a refused one of their key are in neither list. Pure. */
export function settle(rows: readonly ReadyRow[], results: readonly PublishResult[]): Settled {
  const stored: ReadyRow[] = []
  const refused: Settled['refused'] = []
  let unknown: Settled['unknown']
  let failedKeys: Set<string> | undefined
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i] as ReadyRow
    const result = results[i]
    if (result?.kind === 'stored') {
      stored.push(row)
      continue
    }
    if (row.key !== null) {
      if (failedKeys?.has(row.key)) continue
      failedKeys ??= new Set()
      failedKeys.add(row.key)
    }
    if (result?.kind === 'refused') refused.push({ row, error: result.error })
    else unknown ??= { row, error: result?.error ?? new Error('the broker gave no result for the message') }
  }
  return { stored, refused, unknown }
}
