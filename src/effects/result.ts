import { ConfigError } from '../core/errors.ts'
import { encodeJson } from '../core/json.ts'
import { checkArguments, isFunction, isName, isObject, isText } from '../core/options.ts'
import { isTransaction } from '../store/arguments.ts'
import { sql } from '../store/sql.ts'
import type { Transaction } from '../store/transaction.ts'
import { type EffectKey, type EffectOptions, recordEffect } from './record.ts'

/** The largest result that is stored with an effect, as JSON. */
const RESULT_LIMIT_BYTES = 1_000_000

/**
 * Stores what a repetition of the effect will be told. Only in the transaction that recorded it first.
 * @throws ConfigError when no such effect is recorded
 */
export async function storeEffectResult(
  tx: Transaction,
  effect: EffectKey,
  result: string | null,
): Promise<void> {
  checkArguments(
    'storeEffectResult',
    isTransaction(tx),
    isObject('effect', effect),
    result === null || isText('result', result),
  )
  const { scope, id, phase = '' } = effect
  checkArguments('storeEffectResult', isName('scope', scope), isName('id', id, 500), isText('phase', phase))
  const changed = await tx.execute(
    sql`update ${tx.store.table('effect')} set result = ${result}
      where scope = ${scope} and id = ${id} and phase = ${phase}`,
  )
  if (changed === 0)
    throw new ConfigError('storeEffectResult', ['no such effect is recorded; record it first'])
}

/**
 * Runs `work` if this transaction is the first to record the effect, and stores its result; a repetition is given the
 * stored result and runs nothing.
 *
 * Guarantee: the effect, the writes of `work` and the result commit together or not at all.
 * Shape: both ways the result has been through JSON (a Date becomes text, `undefined` becomes null).
 * @throws StaleEpochError; PayloadError for a result that JSON cannot hold
 */
export async function once<T>(
  tx: Transaction,
  effect: EffectOptions,
  work: () => Promise<T>,
): Promise<{ kind: 'first' | 'repeated'; result: T }> {
  checkArguments('once', isTransaction(tx), isObject('effect', effect), isFunction('work', work))
  const recorded = await recordEffect(tx, effect)
  if (recorded.kind === 'repeated') {
    return { kind: 'repeated', result: JSON.parse(recorded.result ?? 'null') as T }
  }
  try {
    const text = encodeJson(`result of effect "${effect.id}"`, (await work()) ?? null, RESULT_LIMIT_BYTES)
    await storeEffectResult(tx, effect, text)
    return { kind: 'first', result: JSON.parse(text) as T }
  } catch (error) {
    // A caller that catches this and goes on must not commit an effect without its work. When the transaction has
    // failed as a whole this fails too, and nothing commits.
    await forget(tx, effect).catch(() => {})
    throw error
  }
}

async function forget(tx: Transaction, { scope, id, phase = '' }: EffectKey): Promise<void> {
  await tx.execute(
    sql`delete from ${tx.store.table('effect')} where scope = ${scope} and id = ${id} and phase = ${phase}`,
  )
}
