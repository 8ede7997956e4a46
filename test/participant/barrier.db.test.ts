/** What goes wrong in other barriers, as titles; on both stores. */
import { type Store, sql } from 'holdfast'
import { createParticipant, type Participant, type StepCall, StepRefusedError } from 'holdfast/participant'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { applied, apply, stores } from '../inbox/stores.ts'
import type { StoreAt } from '../support/store-at.ts'

const call = (phase: StepCall['phase'], over: Partial<StepCall> = {}): StepCall => ({
  saga: 'order-1',
  step: 'charge',
  phase,
  epoch: 1n,
  ...over,
})

/** The step's effect: one row that says what was done. */
const step = (p: Participant, c: StepCall, note = `${c.step} ${c.phase}`) =>
  p.transaction(c, async (tx) => {
    await tx.execute(apply(c.saga, note))
    return { note }
  })

const rows = (store: Store) =>
  store.query<{ phase: string; result: string | null }>(
    "select phase, result from holdfast_effect where phase <> '' order by phase",
  )

/** One store for all tests, emptied before each. */
function useStore(open: () => Promise<StoreAt>): { readonly store: Store } {
  let opened: StoreAt
  beforeAll(async () => {
    opened = await open()
  })
  beforeEach(async () => {
    await opened.store.execute('delete from holdfast_effect')
    await opened.store.execute('delete from applied')
  })
  afterAll(() => opened[Symbol.asyncDispose]())
  return {
    get store() {
      return opened.store
    },
  }
}

describe.each(stores)('on $name', ({ open }) => {
  const opened = useStore(open)

  it('null compensation that forgets its mark: the undo of a step that never came leaves one, and the step is refused', async () => {
    const { store } = opened
    const p = createParticipant(store)
    expect(await step(p, call('undo'))).toEqual({ kind: 'nothing', result: undefined })
    expect(await step(p, call('undo'))).toMatchObject({ kind: 'repeated' })
    await expect(step(p, call('do'))).rejects.toMatchObject({ code: 'STEP_UNDONE', outcome: 'not-applied' })
    expect(await applied(store)).toEqual([])
    expect((await rows(store)).map((r) => r.phase)).toEqual(['charge/do', 'charge/undo'])
  })

  it('hanging try: a try that comes after its cancel holds nothing', async () => {
    const p = createParticipant(opened.store)
    await step(p, call('cancel'))
    await expect(step(p, call('try'))).rejects.toMatchObject({ code: 'STEP_UNDONE' })
    await expect(step(p, call('confirm'))).rejects.toMatchObject({ code: 'STEP_UNDONE' })
    expect(await applied(opened.store)).toEqual([])
  })

  it('select-then-insert deadlock: forty calls of one step at once run it once, and none is a deadlock', async () => {
    const p = createParticipant(opened.store)
    const phases = ['do', 'undo', 'do', 'undo'] as const
    const ended = await Promise.allSettled(
      Array.from({ length: 40 }, (_, i) => step(p, call(phases[i % 4] as 'do', { step: `s${i >> 2}` }))),
    )
    const codes = ended.flatMap((e) => (e.status === 'rejected' ? [e.reason.code] : []))
    expect(codes.filter((code) => code !== 'STEP_UNDONE')).toEqual([])
    const notes = await applied(opened.store)
    expect(notes.filter((note) => note.endsWith(' do')).length).toBe(
      notes.filter((note) => note.endsWith(' undo')).length,
    )
    expect(new Set(notes).size).toBe(notes.length)
  })

  it('business error swallowed by the barrier: it reaches the caller, nothing is applied, and it is not recorded as done', async () => {
    const { store } = opened
    const p = createParticipant(store)
    const failing = (error: Error) =>
      p.transaction(call('do'), async (tx) => {
        await tx.execute(apply('order-1', 'half'))
        throw error
      })
    await expect(failing(new Error('disk on fire'))).rejects.toThrow('disk on fire')
    expect([await applied(store), await rows(store)]).toEqual([[], []])

    await expect(failing(new StepRefusedError('no_money', { details: { short: 5 } }))).rejects.toMatchObject({
      code: 'STEP_REFUSED',
      reason: 'no_money',
      repeated: false,
    })
    // The refusal is kept: a copy that comes when there is money is refused as the first one was.
    await expect(step(p, call('do'))).rejects.toMatchObject({
      code: 'STEP_REFUSED',
      reason: 'no_money',
      details: { short: 5 },
      repeated: true,
    })
    expect(await step(p, call('undo'))).toMatchObject({ kind: 'nothing' })
    expect(await applied(store)).toEqual([])
  })

  it('a refusal and an accepted copy of the same call: the first to commit decides for both', async () => {
    const p = createParticipant(opened.store)
    const outcome = await p
      .transaction(
        call('do'),
        async () => {
          throw await new Promise<Error>((resolve) => {
            // Another copy is accepted between the rollback and the record of the refusal.
            resolve(new StepRefusedError('sold_out'))
          })
        },
        { retries: 0 },
      )
      .catch((error: unknown) => error)
    expect(outcome).toMatchObject({ code: 'STEP_REFUSED' })
    const { failpoints } = await import('holdfast/testing')
    const armed = failpoints.arm(
      'participant.refused',
      async () => void (await step(p, call('do', { saga: 'order-2' }))),
      { times: 1 },
    )
    const second = await p.transaction(call('do', { saga: 'order-2' }), async () => {
      throw new StepRefusedError('sold_out')
    })
    armed.disarm()
    expect(second).toEqual({ kind: 'repeated', result: { note: 'charge do' } })
    expect(await applied(opened.store)).toEqual(['charge do'])
  })

  it('a refusal of undo, confirm or cancel is a fault: it is not kept', async () => {
    const p = createParticipant(opened.store)
    await step(p, call('do'))
    const refuse = p.transaction(call('undo'), async () => {
      throw new StepRefusedError('never')
    })
    await expect(refuse).rejects.toMatchObject({ code: 'STEP_REFUSED' })
    expect(await step(p, call('undo'))).toMatchObject({ kind: 'done' })
  })

  it('a repeated step gives the stored result, and undo is told what the step gave', async () => {
    const p = createParticipant(opened.store)
    const charge = () =>
      p.transaction(call('do'), async () => ({ id: 'pay-7', at: new Date(0), gone: undefined }))
    const stored = { id: 'pay-7', at: '1970-01-01T00:00:00.000Z' }
    expect(await charge()).toEqual({ kind: 'done', result: stored })
    expect(await charge()).toEqual({ kind: 'repeated', result: stored })
    let told: unknown
    await p.transaction(call('undo'), async (_tx, context) => {
      told = context.forward
    })
    expect(told).toEqual(stored)
    await p.transaction(call('do', { step: 'b' }), async () => {})
    await p.transaction(call('undo', { step: 'b' }), async (_tx, context) => {
      told = context.forward
    })
    expect(told).toBeUndefined()
  })

  it('an older epoch is refused at every step of the saga, also by one that repeats', async () => {
    const p = createParticipant(opened.store)
    await step(p, call('do', { epoch: 3n }))
    for (const late of [
      call('do', { epoch: 2n }),
      call('undo', { epoch: 2n }),
      call('do', { step: 'b', epoch: 2n }),
    ]) {
      await expect(step(p, late)).rejects.toMatchObject({ code: 'STALE_EPOCH', presented: 2n, current: 3n })
    }
    expect(await applied(opened.store)).toEqual(['charge do'])
    expect(await step(p, call('do', { epoch: 3n }))).toMatchObject({ kind: 'repeated' })
    expect(await step(p, call('do', { saga: 'order-2' }))).toMatchObject({ kind: 'done' })
  })

  it('a successor that only advances the epoch has older ones refused, and leaves no step behind', async () => {
    const { store } = opened
    const p = createParticipant(store)
    await step(p, call('do', { epoch: 1n }))
    const before = await rows(store)
    await store.transaction((tx) => p.advance(tx, call('undo', { epoch: 2n })))
    expect(await rows(store)).toEqual(before)
    await expect(step(p, call('undo', { epoch: 1n }))).rejects.toMatchObject({ code: 'STALE_EPOCH' })
    const stale = store.transaction((tx) => p.advance(tx, call('undo', { epoch: 1n })))
    await expect(stale).rejects.toMatchObject({ code: 'STALE_EPOCH', presented: 1n, current: 2n })
    expect(await step(p, call('undo', { epoch: 2n }))).toMatchObject({ kind: 'done' })
  })

  it('participants of one database do not know of each other', async () => {
    await step(createParticipant(opened.store, { name: 'a' }), call('undo', { epoch: 9n }))
    expect(await step(createParticipant(opened.store, { name: 'b' }), call('do'))).toMatchObject({
      kind: 'done',
    })
  })

  it('inside a transaction of yours: step and effect commit together or not at all', async () => {
    const { store } = opened
    const p = createParticipant(store)
    const inside = (fail: boolean) =>
      store.transaction(async (tx) => {
        const outcome = await p.run(tx, call('do'), () => tx.execute(apply('order-1', 'inside')))
        if (fail) throw new Error('later')
        return outcome
      })
    await expect(inside(true)).rejects.toThrow('later')
    expect([await applied(store), await rows(store)]).toEqual([[], []])
    expect(await inside(false)).toEqual({ kind: 'done', result: 1 })
    expect(await inside(false)).toEqual({ kind: 'repeated', result: 1 })
    expect(await applied(store)).toEqual(['inside'])
  })

  it('a caller that catches what the work threw does not commit a step without its work', async () => {
    const { store } = opened
    const p = createParticipant(store)
    await store.transaction(async (tx) => {
      await p.run(tx, call('do'), async () => Promise.reject(new Error('no'))).catch(() => {})
    })
    expect(await rows(store)).toEqual([])
  })

  it('what cannot be a result is refused, and the step is not done', async () => {
    const { store } = opened
    const p = createParticipant(store)
    const cyclic: Record<string, unknown> = {}
    cyclic.self = cyclic
    for (const result of [1n, cyclic, Number.NaN, new Map(), 'x'.repeat(1_000_001)]) {
      await expect(
        p.transaction(call('do'), async (tx) => {
          await tx.execute(apply('order-1', 'half'))
          return result
        }),
      ).rejects.toMatchObject({ code: 'PAYLOAD_INVALID' })
    }
    expect([await applied(store), await rows(store)]).toEqual([[], []])
  })

  it('a name of odd characters is a name like others; one that cannot be stored is refused before anything', async () => {
    const p = createParticipant(opened.store)
    const odd = call('do', { saga: `o'rder "1" ; -- \u6f22 \u{1f355}`, step: 'a/b\n' })
    expect(await step(p, odd)).toMatchObject({ kind: 'done' })
    expect(await step(p, odd)).toMatchObject({ kind: 'repeated' })
    for (const bad of [
      { saga: '' },
      { saga: 'x\0' },
      { saga: '\ud800' },
      { step: 'x'.repeat(151) },
      { epoch: -1n },
      { phase: 'redo' as 'do' },
    ]) {
      await expect(step(p, call('do', bad))).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
    }
  })

  it('after the window a step is forgotten, and not before', async () => {
    const { store } = opened
    const p = createParticipant(store, { windowMs: 60_000 })
    await step(p, call('do'))
    expect(await p.prune()).toBe(0)
    await store.execute(sql`update holdfast_effect set recorded_at_ms = recorded_at_ms - 61000`)
    expect(await p.prune()).toBe(2)
    expect(await step(p, call('do'))).toMatchObject({ kind: 'done' })
  })

  it('the gate of a saga that still comes outlives its old steps', async () => {
    const { store } = opened
    const p = createParticipant(store, { windowMs: 86_400_000 })
    await step(p, call('do', { epoch: 5n }))
    await store.execute(sql`update holdfast_effect set recorded_at_ms = recorded_at_ms - 90000000`)
    await step(p, call('do', { step: 'b', epoch: 5n }))
    expect(await p.prune()).toBe(1)
    await expect(step(p, call('do', { step: 'c', epoch: 4n }))).rejects.toMatchObject({ code: 'STALE_EPOCH' })
  })
})

describe('on postgres', () => {
  const opened = useStore((stores[1] as (typeof stores)[number]).open)

  it('a zombie does not commit beside its successor: it waits at the gate, and is refused', async () => {
    const p = createParticipant(opened.store)
    let go = (): void => {}
    const successor = p.transaction(call('do', { epoch: 2n }), async (tx) => {
      await tx.execute(apply('order-1', 'successor'))
      await new Promise<void>((resolve) => {
        go = resolve
      })
    })
    const { until } = await import('../support/wait.ts')
    await until(
      async () =>
        (
          await opened.store.query(
            "select 1 from pg_stat_activity where state = 'idle in transaction' and datname = current_database()",
          )
        ).length > 0,
    )
    const zombie = step(p, call('do', { step: 'other', epoch: 1n }))
    const outcome = zombie.catch((error: unknown) => error)
    await until(
      async () =>
        (
          await opened.store.query(
            "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()",
          )
        ).length > 0,
    )
    go()
    await successor
    expect(await outcome).toMatchObject({ code: 'STALE_EPOCH', presented: 1n, current: 2n })
    expect(await applied(opened.store)).toEqual(['successor'])
  })

  it.each(['repeatable-read', 'serializable'] as const)('holds at %s', async (isolation) => {
    const p = createParticipant(opened.store)
    const copies = Array.from({ length: 6 }, () =>
      p.transaction(call('do'), (tx) => tx.execute(apply('order-1', 'once')), { isolation, retries: 50 }),
    )
    const kinds = (await Promise.all(copies)).map((outcome) => outcome.kind)
    expect(kinds.sort()).toEqual(['done', ...Array(5).fill('repeated')])
    expect(await applied(opened.store)).toEqual(['once'])
  })
})
