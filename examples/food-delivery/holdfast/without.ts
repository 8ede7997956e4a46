import type { OwnTransaction } from 'holdfast'

/** The mechanisms of which one may be taken out, to see what it was there for. */
export const MECHANISMS = ['transaction', 'outbox', 'inbox', 'undo', 'lock', 'version'] as const
export type Mechanism = (typeof MECHANISMS)[number]

/** What each mechanism keeps from happening: the anomaly that must show without it. */
export const PREVENTS = {
  transaction: 'moneyCreatedOrLost',
  outbox: 'eventsLost',
  inbox: 'chargedTwice',
  undo: 'halfDone',
  lock: 'dishesOversold',
  version: 'outdatedPrice',
} as const satisfies Record<Mechanism, string>

/** What Holdfast itself sends at the end of a transaction. */
interface Unguarded {
  runLast(last: {
    readonly statement: { readonly text: string; readonly values: readonly []; readonly prepare: false }
    readonly onRows: () => void
  }): Promise<void>
}

/**
 * `--without transaction`: the same work, but each statement commits by itself, as when every query goes to the pool.
 * `breaks` is asked after each of them and may throw, as a connection does.
 */
export function eachStatementAlone(tx: OwnTransaction, breaks: () => void): OwnTransaction {
  // Holdfast refuses these words, since they end its transaction behind its back: they go past it, as nothing else does.
  const { runLast } = tx as unknown as Unguarded
  const run = (text: string): Promise<void> =>
    runLast.call(tx, { statement: { text, values: [], prepare: false }, onRows: () => {} })
  const alone =
    <Arguments extends unknown[], Result>(perform: (...given: Arguments) => Promise<Result>) =>
    async (...given: Arguments): Promise<Result> => {
      const result = await perform(...given)
      await run('commit')
      await run(tx.store.dialect.singleWriter ? 'begin immediate' : 'begin')
      breaks()
      return result
    }
  return {
    joined: false,
    store: tx.store,
    signal: tx.signal,
    attempt: tx.attempt,
    query: alone(tx.query.bind(tx)) as OwnTransaction['query'],
    execute: alone(tx.execute.bind(tx)) as OwnTransaction['execute'],
    lockRows: alone(tx.lockRows.bind(tx)) as OwnTransaction['lockRows'],
    beforeCommit: tx.beforeCommit.bind(tx),
    afterCommit: tx.afterCommit.bind(tx),
    transaction: (work) => work(eachStatementAlone(tx, breaks)),
  }
}
