import { randomUUID } from 'node:crypto'
import { partitionOf } from '../broker/partition.ts'
import { checkOptions, isAge, isCount, isName } from '../core/options.ts'
import { checkSchema } from '../core/standard-schema.ts'
import { sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import type { SyncTransaction, Transaction, TransactionBase } from '../store/transaction.ts'
import { ID_MAX, IN_HAND, type NewSaga, PARTITIONS } from './entry.ts'
import { SagaIdTakenError } from './errors.ts'
import { insertSagas, startStatement } from './journal-statements.ts'
import { runnersOf } from './local.ts'
import type { Saga } from './saga.ts'
import { encodeValue, hashOf } from './value.ts'

export interface StartOptions {
  /** Names the saga, and makes starting it idempotent. At most 400 characters. Default: a random one. */
  readonly id?: string
  /** Higher goes first among those that wait to be taken up. 0 (the default) to 1 000. */
  readonly priority?: number
  /** Starts it so much later, by the clock of this process. */
  readonly afterMs?: number
  /** In place of the definition's: a saga that is not past its pivot by then is undone. */
  readonly timeoutMs?: number
}

/** A higher priority is an earlier time, so that one index serves both. */
const PRIORITY_MS = 1_000_000_000_000

function rankOf(atMs: number, priority: number): number {
  return Math.floor(atMs) - priority * PRIORITY_MS
}

/** The row of a saga that nobody holds. */
export function newSaga(
  saga: Saga<never, unknown>,
  id: string,
  input: string | null,
  about: {
    readonly nowMs: number
    readonly parentId?: string
    readonly priority?: number
    readonly afterMs?: number
    readonly timeoutMs?: number | undefined
    readonly key?: string | undefined
  },
): NewSaga {
  const { nowMs, parentId = null, priority = 0, afterMs = 0, timeoutMs = saga.options.timeoutMs, key } = about
  const startedAtMs = Math.floor(nowMs)
  return {
    id,
    name: saga.name,
    partition: `${saga.options.group}/${partitionOf(id, PARTITIONS)}`,
    wakeAtMs: afterMs > 0 ? Math.floor(nowMs + afterMs) : rankOf(nowMs, priority),
    held: 0,
    priority,
    startedAtMs,
    deadlineAtMs: timeoutMs === undefined ? null : Math.floor(nowMs + afterMs + timeoutMs),
    parentId,
    flowKey: saga.isLimited ? (key ?? '') : null,
    inputHash: hashOf(input),
    input,
  }
}

/**
 * Checks the input and the options, and makes the row. Stays synchronous where the schema of the input does.
 * @throws PayloadError, ConfigError; nothing was done then
 */
export function prepareStart<Input>(
  saga: Saga<Input, unknown>,
  clockNowMs: number,
  given: Input,
  options: StartOptions,
): NewSaga | Promise<NewSaga> {
  const { id = randomUUID(), priority = 0, afterMs = 0, timeoutMs } = options
  checkOptions(
    `start of saga "${saga.name}"`,
    options,
    ['id', 'priority', 'afterMs', 'timeoutMs'],
    [
      isName('id', id, ID_MAX),
      isCount('priority', priority, 0, 1_000),
      isAge('afterMs', afterMs),
      timeoutMs === undefined || isAge('timeoutMs', timeoutMs),
    ],
  )
  const { schema, key } = saga.options
  const make = (input: Input): NewSaga =>
    newSaga(saga as Saga<never, unknown>, id, encodeValue(`input of saga "${saga.name}"`, input), {
      nowMs: clockNowMs,
      priority,
      afterMs,
      timeoutMs: timeoutMs ?? saga.options.timeoutMs,
      key: key?.(input as never),
    })
  if (schema === undefined) return make(given)
  const checked = checkSchema(`input of saga "${saga.name}"`, schema, given) as Input | Promise<Input>
  return checked instanceof Promise ? checked.then(make) : make(checked)
}

/** Starts a saga in the caller's transaction. */
export async function startIn(tx: Transaction, row: NewSaga): Promise<void> {
  const local = localPlace(tx.store, row)
  const saga = local === undefined ? row : { ...row, partition: local }
  const [inserted] = await insertSagas(tx, [saga])
  if (inserted === undefined) {
    await assertSame(tx, saga)
    return
  }
  if (!tx.joined) {
    tx.afterCommit(() => {
      for (const runner of runnersOf(tx.store)) runner.offer(saga)
    })
  }
}

export function startSync(tx: SyncTransaction, row: NewSaga): void {
  const [inserted] = tx.querySync<{ id: string }>(startStatement(tx.store, [row]))
  if (inserted === undefined) {
    const [found] = tx.querySync<Existing>(existing(tx.store, row.id))
    judgeSame(row, found)
  }
}

/** Starts a saga in a transaction of its own: with the journal's next commit where a runner of this process takes it. */
export async function startAlone(store: Store, row: NewSaga): Promise<void> {
  if (isReady(row)) {
    for (const runner of runnersOf(store)) {
      const guard = runner.room(row.name)
      if (guard === undefined) continue
      const saga: NewSaga = { ...row, partition: guard.partition, held: 1, wakeAtMs: IN_HAND }
      const { started } = await runner.startHeld(saga, guard)
      if (!started) {
        await assertSame(store, row)
        runner.poke(row.id)
      }
      return
    }
  }
  await store.transaction((tx) => startIn(tx, row))
}

function isReady(row: NewSaga): boolean {
  return row.flowKey === null && row.wakeAtMs <= row.startedAtMs
}

function localPlace(store: Store, row: NewSaga): string | undefined {
  if (!isReady(row)) return undefined
  for (const runner of runnersOf(store)) {
    const guard = runner.room(row.name)
    if (guard !== undefined) return guard.partition
  }
  return undefined
}

interface Existing {
  readonly name: string
  readonly input_hash: string | null
}

function existing(store: Store, id: string) {
  return sql`select name, input_hash from ${store.table('saga')} where id = ${id}`
}

async function assertSame(
  tx: Pick<TransactionBase, 'query'> & ({ store: Store } | Store),
  row: NewSaga,
): Promise<void> {
  const store = 'store' in tx ? tx.store : tx
  const [found] = await tx.query<Existing>(existing(store, row.id))
  judgeSame(row, found)
}

/** Starting again what was started is fine; starting something else under its id is not. */
function judgeSame(row: NewSaga, found: Existing | undefined): void {
  if (found === undefined) return // purged meanwhile: it has been, and has ended
  if (found.name !== row.name)
    throw new SagaIdTakenError(row.id, `it is a saga "${found.name}", not "${row.name}"`)
  if (found.input_hash !== row.inputHash)
    throw new SagaIdTakenError(row.id, 'it was started with another input')
}
