import { type OwnTransaction, type Store, sql } from 'holdfast'
import { saga } from 'holdfast/saga'
import { describe, expect, it } from 'vitest'
import { until } from '../support/wait.ts'
import { reusedStores as stores } from './reused.ts'
import { effectsOf, quick, startRunner } from './stores.ts'

const note = (tx: OwnTransaction, id: string, what: string) =>
  tx.execute(sql`insert into effects (saga, what) values (${id}, ${what})`)

async function inHistory(store: Store, id: string): Promise<string[]> {
  const rows = await store.query<{ kind: string; step: string }>(
    sql`select kind, step from ${store.table('saga_entry')} where saga_id = ${id} order by seq`,
  )
  return rows.map((row) => `${row.kind} ${row.step}`.trim())
}

describe.each(stores)('sagas on $name', ({ open }) => {
  it('run their steps in order, give each result on, and end with a result', async () => {
    await using opened = await open()
    const { store } = opened
    const keys: string[] = []
    const add = saga('add', async (s, input: { a: number }) => {
      const first = await s.step('first', ({ key }) => {
        keys.push(key)
        return input.a + 1
      })
      const second = await s.step('second', first, async ({ input: n, key }) => {
        keys.push(key)
        return { n: n + 1 }
      })
      return second.n * 10
    })
    await using _runner = await startRunner(store, [add])
    expect(await add.run(store, { a: 1 }, { id: 'x' })).toBe(30)
    expect(keys).toEqual(['x/first', 'x/second'])
    expect(await inHistory(store, 'x')).toEqual(['step first', 'step second'])
    const again = await add.start(store, { a: 1 }, { id: 'x' })
    expect(await again.result()).toBe(30)
    expect(keys.length).toBe(2)
    await expect(add.start(store, { a: 2 }, { id: 'x' })).rejects.toMatchObject({ code: 'SAGA_ID_TAKEN' })
  })

  it('exist only when the transaction that started them commits', async () => {
    await using opened = await open()
    const { store } = opened
    const noop = saga('noop', async (s) => s.transaction('t', store, (tx) => note(tx, s.sagaId, 'did')))
    await using _runner = await startRunner(store, [noop])
    await expect(
      store.transaction(async (tx) => {
        await noop.start(tx, undefined, { id: 'never' })
        throw new Error('no')
      }),
    ).rejects.toThrow('no')
    await expect(noop.get(store, 'never').result()).rejects.toMatchObject({ code: 'SAGA_NOT_FOUND' })
    const handle = await store.transaction(async (tx) => {
      await note(tx, 'once', 'ordered')
      return noop.start(tx, undefined, { id: 'once' })
    })
    expect(await handle.result()).toBe(1)
    expect(await effectsOf(store, 'once')).toEqual(['ordered', 'did'])
  })

  it('undo what was done in reverse order of completion, and not what was refused', async () => {
    await using opened = await open()
    const { store } = opened
    const undone: unknown[] = []
    const book = saga('book', async (s) => {
      await s.step('flight', () => ({ seat: 7 }), {
        undo: ({ result, key }) => void undone.push([key, result]),
      })
      await s.transaction('hotel', store, (tx) => note(tx, s.sagaId, 'room'), {
        undo: (tx) => note(tx, s.sagaId, 'no room'),
      })
      await s.step(
        'car',
        () => {
          throw Object.assign(new Error('none left'), { code: 'STEP_REFUSED', outcome: 'not-applied' })
        },
        { undo: () => void undone.push('car') },
      )
    })
    await using _runner = await startRunner(store, [book])
    const handle = await book.start(store, undefined, { id: 'trip' })
    await expect(handle.result()).rejects.toMatchObject({
      code: 'SAGA_FAILED',
      message: expect.stringContaining('none left'),
    })
    expect(undone).toEqual([['trip/flight:undo', { seat: 7 }]])
    expect(await effectsOf(store, 'trip')).toEqual(['room', 'no room'])
    expect(await handle.state()).toBe('failed')
    expect(await inHistory(store, 'trip')).toEqual([
      'step flight',
      'step hotel',
      'failed car',
      'undoing',
      'undone hotel',
      'undone flight',
    ])
  })

  it('undo a step whose outcome is unknown, without a result', async () => {
    await using opened = await open()
    const { store } = opened
    const undone: unknown[] = []
    const pay = saga('pay', async (s) => {
      await s.step(
        'charge',
        () => {
          throw new Error('the line went dead')
        },
        { retry: { attemptsMax: 2, ...quick }, undo: ({ result }) => void undone.push(result ?? 'unknown') },
      )
    })
    await using _runner = await startRunner(store, [pay])
    await expect(pay.run(store, undefined, { id: 'p' })).rejects.toMatchObject({ code: 'SAGA_FAILED' })
    expect(undone).toEqual(['unknown'])
    expect(await inHistory(store, 'p')).toEqual([
      'attempt charge',
      'failed charge',
      'undoing',
      'undone charge',
    ])
  })

  it('try a step again until it works, and stop a step that takes too long', async () => {
    await using opened = await open()
    const { store } = opened
    let tries = 0
    const flaky = saga('flaky', async (s) =>
      s.step(
        'slow',
        async ({ signal, attempt }) => {
          tries += 1
          if (attempt < 3) await new Promise((resolve) => signal.addEventListener('abort', resolve))
          return attempt
        },
        { timeoutMs: 30, retry: quick },
      ),
    )
    await using _runner = await startRunner(store, [flaky])
    expect(await flaky.run(store, undefined)).toBe(3)
    expect(tries).toBe(3)
  })

  it('have one effect on another store, whatever is repeated there', async () => {
    await using opened = await open()
    const { store } = opened
    const { store: kitchen } = await opened.second()
    let fail = true
    const cook = saga('cook', async (s) => {
      const dish = await s.transaction(
        'cook',
        kitchen,
        async (tx) => {
          await note(tx, s.sagaId, 'cooked')
          return { dish: 'soup' }
        },
        { undo: async (tx, { result }) => void (await note(tx, s.sagaId, `thrown away ${result?.dish}`)) },
      )
      if (fail) throw new Error('nobody is hungry')
      return dish
    })
    await using _runner = await startRunner(store, [cook])
    await expect(cook.run(store, undefined, { id: 'a' })).rejects.toMatchObject({ code: 'SAGA_FAILED' })
    expect(await effectsOf(kitchen, 'a')).toEqual(['cooked', 'thrown away soup'])
    fail = false
    expect(await cook.run(store, undefined, { id: 'b' })).toEqual({ dish: 'soup' })
    expect(await effectsOf(kitchen, 'b')).toEqual(['cooked'])
  })

  it('wait for a signal without being in memory, and take each one once', async () => {
    await using opened = await open()
    const { store } = opened
    const ask = saga('ask', async (s) => {
      const first = await s.receive<number>('answer')
      const second = await s.receive<number>('answer')
      return [first, second]
    })
    await using runner = await startRunner(store, [ask])
    const handle = await ask.start(store, undefined, { id: 'q' })
    await until(() => runner.figures().inMemory === 0, { what: 'the saga to be laid down' })
    expect(await handle.signal('answer', 1, { id: 'm1' })).toBe(true)
    expect(await handle.signal('answer', 1, { id: 'm1' })).toBe(true)
    await handle.signal('answer', 2)
    expect(await handle.result()).toEqual([1, 2])
    expect(await handle.signal('answer', 3)).toBe(false)
  })

  it('give up a wait after its time', async () => {
    await using opened = await open()
    const { store } = opened
    const ask = saga('ask', async (s) => {
      try {
        return await s.receive<string>('answer', { timeoutMs: 20 })
      } catch (error) {
        await s.sleep('a little', 30)
        return (error as { code: string }).code
      }
    })
    await using _runner = await startRunner(store, [ask])
    expect(await ask.run(store, undefined)).toBe('WAIT_TIMEOUT')
  })

  it('go back when they are cancelled or run out of time, and stay when past the pivot', async () => {
    await using opened = await open()
    const { store } = opened
    const log: string[] = []
    const order = saga('order', async (s, past: boolean) => {
      await s.step('a', () => {}, { undo: () => void log.push('undo a') })
      const go = past ? await s.pivot('point', () => {}) : s
      await (go as typeof s).step('long', ({ signal }) =>
        past
          ? undefined
          : new Promise((resolve) => signal.addEventListener('abort', () => resolve(undefined))),
      )
      if (past) await go.receive('go on')
      return 'done'
    })
    await using _runner = await startRunner(store, [order])
    const back = await order.start(store, false, { id: 'back' })
    await until(async () => (await inHistory(store, 'back')).length === 1)
    await back.cancel()
    await expect(back.result()).rejects.toMatchObject({ code: 'SAGA_CANCELLED' })
    expect(log).toEqual(['undo a'])
    const late = await order.start(store, false, { id: 'late', timeoutMs: 100 })
    await expect(late.result()).rejects.toThrow('ran out of its time')
    expect(await late.state()).toBe('cancelled')
    const past = await order.start(store, true, { id: 'past' })
    await until(async () => (await inHistory(store, 'past')).includes('step long'))
    await past.cancel()
    await past.signal('go on')
    expect(await past.result()).toBe('done')
    expect(log).toEqual(['undo a', 'undo a'])
  })

  it('refuse the handle from before the pivot before any effect', async () => {
    await using opened = await open()
    const { store } = opened
    let effects = 0
    const order = saga('order', async (s) => {
      const forward = await s.pivot('point', () => 'sold')
      const refused = await s.step('late', () => (effects += 1)).catch((e) => (e as { code: string }).code)
      return [forward.result, refused, await forward.step('after', () => 1)]
    })
    await using _runner = await startRunner(store, [order])
    expect(await order.run(store, undefined)).toEqual(['sold', 'PIVOT_PASSED', 1])
    expect(effects).toBe(0)
  })

  it('confirm what they tried when the code has returned, and cancel it when it fails', async () => {
    await using opened = await open()
    const { store } = opened
    const log: string[] = []
    const courier = saga('courier', async (s, ok: boolean) => {
      await s.tcc('courier', {
        try: () => ({ slot: 3 }),
        confirm: ({ result }) => void log.push(`confirm ${result?.slot}`),
        cancel: ({ result }) => void log.push(`cancel ${result?.slot}`),
      })
      await s.step('other', () => void log.push('other'))
      if (!ok) throw new Error('no')
    })
    await using _runner = await startRunner(store, [courier])
    await courier.run(store, true)
    await expect(courier.run(store, false)).rejects.toMatchObject({ code: 'SAGA_FAILED' })
    expect(log).toEqual(['other', 'confirm 3', 'other', 'cancel 3'])
  })

  it('run branches at the same time, and abort the others when one fails', async () => {
    await using opened = await open()
    const { store } = opened
    const log: string[] = []
    const trip = saga('trip', async (s, fail: boolean) =>
      s.all('book', {
        flight: async (b) => b.step('reserve', () => 'LH1', { undo: () => void log.push('undo flight') }),
        hotel: async (b) => {
          await b.sleep('a moment', 10)
          return b.step(
            'reserve',
            () => {
              if (fail) throw Object.assign(new Error('full'), { final: true, outcome: 'not-applied' })
              return 12
            },
            { undo: () => void log.push('undo hotel') },
          )
        },
      }),
    )
    await using _runner = await startRunner(store, [trip])
    expect(await trip.run(store, false, { id: 'ok' })).toEqual({ flight: 'LH1', hotel: 12 })
    await expect(trip.run(store, true, { id: 'no' })).rejects.toThrow('full')
    expect(log).toEqual(['undo flight'])
    expect(await inHistory(store, 'ok')).toContain('step book/hotel/reserve')
  })

  it('undo the step of a branch that was stopped while its effect may have happened', async () => {
    await using opened = await open()
    const { store } = opened
    let charged = (): void => {}
    const effect = new Promise<void>((resolve) => {
      charged = resolve
    })
    const undone: unknown[] = []
    const book = saga('book', async (s) => {
      await s.all('both', {
        card: (b) =>
          b.step(
            'charge',
            async ({ signal }) => {
              charged() // the effect is there, and its answer is lost to the failure of the other branch
              await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
            },
            { undo: ({ result, key }) => void undone.push([key, result]) },
          ),
        hotel: async (b) => {
          await effect
          await b.step('room', () => Promise.reject(new Error('full')), { retry: { attemptsMax: 1 } })
        },
      })
    })
    await using _runner = await startRunner(store, [book])
    const handle = await book.start(store, undefined, { id: 'both' })
    await expect(handle.result()).rejects.toMatchObject({ code: 'SAGA_FAILED' })
    expect(undone).toEqual([['both/both/card/charge:undo', undefined]])
  })

  it('race branches, and undo those that lose at once', async () => {
    await using opened = await open()
    const { store } = opened
    const log: string[] = []
    const race = saga('race', async (s) => {
      const won = await s.race('offer', {
        slow: async (b) => {
          await b.step('ask', () => {}, { undo: () => void log.push('undo slow') })
          await b.sleep('long', 600_000)
          return 'slow'
        },
        fast: async (b) =>
          b.step('ask', async () => {
            await until(() => log.length === 0)
            return 'fast'
          }),
      })
      await s.step('after', () => void log.push(`after ${won}`))
      return won
    })
    await using _runner = await startRunner(store, [race])
    expect(await race.run(store, undefined, { id: 'r' })).toBe('fast')
    expect(log).toEqual(['undo slow', 'after fast'])
  })

  it('run a child saga and await its end', async () => {
    await using opened = await open()
    const { store } = opened
    const ship = saga('ship', async (s, parcel: { kg: number }) =>
      s.step('label', () => `label for ${parcel.kg}`),
    )
    const fail = saga('fail', async () => {
      throw new Error('broken')
    })
    const order = saga('order', async (s) => {
      const label = await s.child('ship', ship, { kg: 2 })
      const failed = await s.child('fail', fail, undefined).catch((e) => (e as Error).message)
      return [label, failed]
    })
    await using _runner = await startRunner(store, [order, ship, fail])
    expect(await order.run(store, undefined, { id: 'o' })).toEqual([
      'label for 2',
      'step "fail" failed: broken',
    ])
  })

  it('derive time, randomness and ids, the same on replay', async () => {
    await using opened = await open()
    const { store } = opened
    const seen: unknown[] = []
    const derived = saga('derived', async (s) => {
      const first = [s.now(), s.random(), s.id()]
      await s.step('x', () => {})
      const all = [...first, s.now(), s.random(), s.id()]
      seen.push(all)
      await s.receive('go')
      return all
    })
    await using runner = await startRunner(store, [derived])
    const handle = await derived.start(store, undefined)
    await until(() => runner.figures().inMemory === 0)
    await handle.signal('go')
    expect(await handle.result()).toEqual(seen[0])
    expect(seen[1]).toEqual(seen[0])
  })

  it('become stuck when an undo fails past its bound, and say why', async () => {
    await using opened = await open()
    const { store } = opened
    const bad = saga('bad', async (s) => {
      await s.step('a', () => {}, {
        undo: () => {
          throw new Error('the bank is closed')
        },
        undoRetry: { attemptsMax: 2, ...quick },
      })
      throw new Error('back')
    })
    await using _runner = await startRunner(store, [bad])
    const handle = await bad.start(store, undefined, { id: 's' })
    await expect(handle.result()).rejects.toMatchObject({
      code: 'SAGA_STUCK',
      message: expect.stringContaining('undo of step "a": the bank is closed'),
    })
    expect(await handle.state()).toBe('stuck')
  })
})
