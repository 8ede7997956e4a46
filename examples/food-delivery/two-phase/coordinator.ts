/** A coordinator process: takes orders from its parent, several at a time, and answers what became of each. */
import { postgres } from 'holdfast/postgres'
import { armFailpointsFromEnv } from 'holdfast/testing'
import { createTwoPhase } from 'holdfast/two-phase'
import { runAsChild } from '../process/program.ts'
import { openPgPool } from '../shared/database.ts'
import type { Order } from './orders.ts'
import {
  type Mode,
  placeNaively,
  placeWithHoldfast,
  placeWithoutDecision,
  Refused,
  recoverWithoutDecision,
} from './place-order.ts'

export interface CoordinatorConfig {
  readonly mode: Mode
  readonly paymentUrl: string
  readonly restaurantUrl: string
  /** Where this life ends: `two-phase.prepared=kill@3`; empty for nowhere. */
  readonly failpoints: string
}

export type FromCoordinator =
  | { readonly kind: 'ready' }
  | {
      readonly kind: 'answer'
      readonly id: string
      readonly outcome: 'placed' | 'refused' | 'failed'
      readonly why?: string
    }

const POOL_MAX = 12

runAsChild<CoordinatorConfig, Order, FromCoordinator>(async (config, parent) => {
  const pools = await Promise.all(
    [config.paymentUrl, config.restaurantUrl].map((url) => openPgPool(url, POOL_MAX)),
  )
  const [payment, restaurant] = pools.map((pool) => postgres(pool)) as [
    ReturnType<typeof postgres>,
    ReturnType<typeof postgres>,
  ]
  const databases = { payment, restaurant }
  const twoPhase = createTwoPhase(payment, { participants: databases })
  if (config.mode === 'holdfast') await twoPhase.check()
  const recovery =
    config.mode === 'holdfast' ? twoPhase.recovery({ everyMs: 250, inDoubtMs: 1_000 }) : undefined
  const guessing =
    config.mode === 'without-decision'
      ? setInterval(() => void recoverWithoutDecision(databases).catch(() => {}), 250)
      : undefined
  const place = {
    naive: (order: Order) => placeNaively(databases, order),
    holdfast: (order: Order) => placeWithHoldfast(databases, twoPhase, order),
    'without-decision': (order: Order) => placeWithoutDecision(databases, order),
  }[config.mode]
  armFailpointsFromEnv(config.failpoints)

  parent.onOrder(async (order) => {
    try {
      await place(order)
      parent.tell({ kind: 'answer', id: order.id, outcome: 'placed' })
    } catch (error) {
      const outcome = error instanceof Refused ? 'refused' : 'failed'
      parent.tell({ kind: 'answer', id: order.id, outcome, why: (error as Error).message })
    }
  })
  parent.tell({ kind: 'ready' })

  return async () => {
    clearInterval(guessing)
    await recovery?.stop()
    await twoPhase.close()
    await Promise.all(pools.map((pool) => pool.end()))
  }
})
