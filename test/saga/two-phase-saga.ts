/** A saga of one transaction over two databases, for processes of their own as well. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { type OwnTransaction, type Store, sql } from 'holdfast'
import { type Saga, type SagaContext, saga } from 'holdfast/saga'
import type { TwoPhase } from 'holdfast/two-phase'
import { type Addresses, coordinatorOf, openStores, type Place, type Stores } from '../two-phase/stores.ts'
import { quick } from './stores.ts'

export interface TwoPhaseWorld extends Stores {
  readonly twoPhase: TwoPhase
}

export function openTwoPhase(at: Addresses): TwoPhaseWorld {
  const stores = openStores(at)
  return { ...stores, twoPhase: coordinatorOf(stores) }
}

/** The id of the saga whose code called what is running. */
export const running = new AsyncLocalStorage<string>()

/** Has no key: what happens twice is there twice. */
export const EFFECTS = [
  'create table effects (saga text not null, what text not null)',
  'create table tally (saga text primary key, n integer not null)',
]

/** Changes a row that every attempt of the saga changes, so that one which is prepared and left keeps the next waiting. */
export async function note(tx: OwnTransaction, id: string, what: string): Promise<void> {
  await tx.execute(
    sql`insert into tally (saga, n) values (${id}, 1) on conflict (saga) do update set n = tally.n + 1`,
  )
  await tx.execute(sql`insert into effects (saga, what) values (${id}, ${what})`)
}

export interface Moved {
  readonly from: string
  readonly to: string
}

/** Moves, and throws afterwards when `input.fails`, so that the move is given back. */
export function moveSaga({ orders, payments, twoPhase }: TwoPhaseWorld): Saga<{ fails: boolean }, Moved> {
  return saga('move', (s: SagaContext, input: { fails: boolean }) =>
    running.run(s.sagaId, async () => {
      const moved = await s.twoPhase(
        'move',
        twoPhase,
        [orders, payments],
        async ([o, p], { saga: id }) => {
          await note(o, id, 'do')
          await note(p, id, 'do')
          return { from: 'orders', to: 'payments' }
        },
        {
          retry: { ...quick, attemptsMax: 50 },
          undoRetry: { ...quick, attemptsMax: 50 },
          undo: async ([o, p], { saga: id, result }) => {
            await note(o, id, `undo ${result?.to}`)
            await note(p, id, `undo ${result?.to}`)
          },
        },
      )
      if (input.fails) throw new Error('no')
      return moved
    }),
  )
}

/** What each database says was done for the saga, and how many prepared transactions there are. Read by plain SQL. */
export async function audit(world: Pick<TwoPhaseWorld, 'orders' | 'payments'>, id: string) {
  const of = async (store: Store) =>
    (await store.read<{ what: string }>(sql`select what from effects where saga = ${id} order by what`)).map(
      (row) => row.what,
    )
  return { orders: await of(world.orders), payments: await of(world.payments) }
}

export const PLACES: readonly Place[] = ['apart', 'orders', 'sqlite']
