import { setTimeout as sleep } from 'node:timers/promises'
import { type OwnTransaction, sql } from 'holdfast'
import { boardOf, type Ticket } from '../business/kitchen.ts'
import { kitchenMs } from '../shared/domain.ts'
import type { Holdfast } from './context.ts'

/** Decides about a ticket, of whose dish the cook has seen so many portions, and does nothing when it was decided before. */
type Decide = (tx: OwnTransaction, ticket: Ticket, seenPortions: number) => Promise<void>

const COOKS = 12
const LOOK_EVERY_MS = 100
const RETRY_MS = 50

/**
 * Works on new tickets, several at a time. A ticket is a row: one that was under way when the process was killed is
 * still new for the next process, and a decision whose outcome is unknown is found out by looking again.
 */
export function startCooks({ read, transaction }: Pick<Holdfast, 'read' | 'transaction'>, decide: Decide) {
  const inHand = new Set<number | string>()
  let stopped = false
  let again = false
  let looking: Promise<void> | undefined

  async function takeTickets(): Promise<void> {
    if (stopped || inHand.size >= COOKS) return
    const tickets = await read<Ticket>(
      sql`select * from ticket where state = 'new' order by id limit ${2 * COOKS}`,
    )
    for (const ticket of tickets) {
      if (inHand.size >= COOKS || inHand.has(ticket.id)) continue
      inHand.add(ticket.id)
      cook(ticket)
        .catch(() => sleep(RETRY_MS)) // the ticket is still new, or decided; the next look tells
        .finally(() => {
          inHand.delete(ticket.id)
          wake()
        })
    }
  }

  async function cook(ticket: Ticket): Promise<void> {
    const [board] = await read<{ portions_left: number }>(boardOf(ticket.dish))
    await sleep(kitchenMs(ticket.order_id))
    await transaction((tx) => decide(tx, ticket, Number(board?.portions_left)))
  }

  /** One look at a time; a wake-up during a look means another look after it. */
  function wake(): void {
    if (looking !== undefined) {
      again = true
      return
    }
    looking = takeTickets()
      .catch(() => {})
      .finally(() => {
        looking = undefined
        if (again) {
          again = false
          wake()
        }
      })
  }

  const timer = setInterval(wake, LOOK_EVERY_MS)
  return {
    wake,
    inHand: async (): Promise<number> => {
      const [row] = await read<{ waiting: number }>(
        sql`select count(*) as waiting from ticket where state = 'new'`,
      )
      return Number(row?.waiting)
    },
    stop: async (): Promise<void> => {
      stopped = true
      clearInterval(timer)
      await looking
    },
  }
}
