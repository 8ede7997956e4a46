/** What may have had an effect is still known to after its process died, a person stepped in, or the saga was laid down. */
import { saga, sagaOperations } from 'holdfast/saga'
import { describe, expect, it } from 'vitest'
import { deferred } from '../../src/core/deferred.ts'
import { until } from '../support/wait.ts'
import { reusedStores as stores } from './reused.ts'
import { quick, startRunner } from './stores.ts'

const refused = () => Object.assign(new Error('no connection'), { outcome: 'not-applied' })
const notApplied = () => Object.assign(new Error('the bank says no'), { outcome: 'not-applied', final: true })
const never = () => new Promise<void>(() => {})

/** Says that it has begun. */
function telling(begun: { resolve(): void }, work: () => Promise<void>): Promise<void> {
  begun.resolve()
  return work()
}

describe.each(stores)('what may stand, on $name', ({ open }) => {
  it('a step that was under way in a crash is undone, though each try after that was not applied', async () => {
    await using opened = await open()
    const { store } = opened
    const undone: unknown[] = []
    let charge = never
    const begun = deferred<void>()
    const pay = saga('pay', async (s) => {
      await s.step('charge', () => telling(begun, charge), {
        retry: { attemptsMax: 3, baseMs: 30, capMs: 30 },
        undo: ({ result }) => void undone.push(result ?? 'unknown'),
      })
    })
    const first = await startRunner(store, [pay])
    const handle = await pay.start(store, undefined, { id: 'p' })
    await begun.promise
    await first.stop({ drainMs: 0 })
    charge = async () => {
      throw refused()
    }
    // It is laid down between its tries, so that each has a life of its own.
    await using _second = await startRunner(store, [pay], { parkAfterMs: 0 })
    await expect(handle.result()).rejects.toMatchObject({ code: 'SAGA_FAILED' })
    expect(undone).toEqual(['unknown'])
  })

  it('a step that was under way in a crash is undone, though the code had changed before it was asked', async () => {
    await using opened = await open()
    const { store } = opened
    const undone: string[] = []
    const begun = deferred<void>()
    const code = (name: string) =>
      saga('pay', async (s) => {
        await s.step(name, () => 1, { undo: () => void undone.push('first') })
        await s.step('charge', () => telling(begun, never), { undo: () => void undone.push('charge') })
      })
    const first = await startRunner(store, [code('reserve')])
    await code('reserve').start(store, undefined, { id: 'p' })
    await begun.promise
    await first.stop({ drainMs: 0 })
    const second = await startRunner(store, [code('renamed')])
    await expect(code('renamed').get(store, 'p').result()).rejects.toMatchObject({ code: 'SAGA_STUCK' })
    await second.stop()
    await sagaOperations(store).forceUndo('p')
    await using _third = await startRunner(store, [code('reserve')])
    await expect(code('reserve').get(store, 'p').result()).rejects.toMatchObject({ code: 'SAGA_CANCELLED' })
    expect(undone).toEqual(['charge', 'first'])
  })

  it('a step that ran beside the one that got stuck is undone by force', async () => {
    await using opened = await open()
    const { store } = opened
    const undone: string[] = []
    const begun = deferred<void>()
    const pay = saga('pay', async (s) => {
      await s.all('both', {
        charge: (b) =>
          b.step('charge', () => telling(begun, never), { undo: () => void undone.push('charge') }),
        ship: (b) =>
          b.step('ship', async () => {
            await begun.promise
            throw Object.assign(new Error('stale'), { code: 'STALE_EPOCH' })
          }),
      })
    })
    await using _runner = await startRunner(store, [pay])
    const handle = await pay.start(store, undefined, { id: 'p' })
    await expect(handle.result()).rejects.toMatchObject({ code: 'SAGA_STUCK' })
    await sagaOperations(store).forceUndo('p')
    await expect(handle.result()).rejects.toMatchObject({ code: 'SAGA_CANCELLED' })
    expect(undone).toEqual(['charge'])
  })

  it('a pivot that may have been applied is neither undone nor passed, though a person had it tried again', async () => {
    await using opened = await open()
    const { store } = opened
    const undone: string[] = []
    let answer = (): unknown => {
      throw new Error('no answer')
    }
    const cook = saga('cook', async (s) => {
      await s.step('reserve', () => 1, { undo: () => void undone.push('reserve') })
      await s.pivot('cook', () => answer(), { retry: { attemptsMax: 2, ...quick } })
    })
    await using _runner = await startRunner(store, [cook])
    const handle = await cook.start(store, undefined, { id: 'c' })
    await expect(handle.result()).rejects.toMatchObject({ code: 'SAGA_STUCK' })
    let tries = 0
    answer = () => {
      tries += 1
      throw notApplied()
    }
    await sagaOperations(store).retry('c')
    await until(() => tries === 1)
    await expect(handle.result()).rejects.toMatchObject({ code: 'SAGA_STUCK' })
    expect(undone).toEqual([])
  })

  it('a step that was first reached after a crash, and never begun, is not undone', async () => {
    await using opened = await open()
    const { store } = opened
    const undone: string[] = []
    let one = never
    const begun = deferred<void>()
    const pay = saga('pay', async (s) => {
      await s.step('one', () => telling(begun, one), { undo: () => void undone.push('one') })
      try {
        await s.receive('never')
      } catch {
        await s.step('two', () => 2, { undo: () => void undone.push('two') })
      }
    })
    const first = await startRunner(store, [pay])
    const handle = await pay.start(store, undefined, { id: 'p' })
    await begun.promise
    await first.stop({ drainMs: 0 })
    one = async () => {}
    await using second = await startRunner(store, [pay], { parkAfterMs: 60_000 })
    await until(() => second.figures().waiting === 1)
    await handle.cancel()
    await expect(handle.result()).rejects.toMatchObject({ code: 'SAGA_CANCELLED' })
    expect(undone).toEqual(['one'])
  })

  it('a cancel that comes during a pivot holds when the pivot fails', async () => {
    await using opened = await open()
    const { store } = opened
    const begun = deferred<void>()
    const gate = deferred<void>()
    const ran: string[] = []
    const cook = saga('cook', async (s) => {
      await s.step('reserve', () => 1, { undo: () => void ran.push('undone') })
      try {
        await s.pivot('cook', async () => {
          begun.resolve()
          await gate.promise
          throw notApplied()
        })
      } catch {
        await s.step('another way', () => void ran.push('another way'))
      }
    })
    await using runner = await startRunner(store, [cook])
    const handle = await cook.start(store, undefined, { id: 'c' })
    await begun.promise
    await handle.cancel()
    const wakes = async () => (await sagaOperations(store).list({ ids: ['c'] }))[0]?.wakeAtMs
    await until(async () => (await wakes()) === null) // the runner has been told
    await new Promise((resolve) => setImmediate(resolve))
    expect(runner.figures().inMemory).toBe(1)
    gate.resolve()
    await expect(handle.result()).rejects.toMatchObject({ code: 'SAGA_CANCELLED' })
    expect(ran).toEqual(['undone'])
  })
})

describe.each(stores)('a child, on $name', ({ open }) => {
  it('that completed while its parent went back is undone, with what it gave', async () => {
    await using opened = await open()
    const { store } = opened
    const undone: unknown[] = []
    const past = deferred<void>()
    const child = saga('child', async (s) => {
      const forward = await s.pivot('cook', () => past.resolve())
      return forward.receive<number>('go')
    })
    const parent = saga('parent', async (s) => {
      await s.child('c', child, undefined, { undo: ({ result }) => void undone.push(result) })
    })
    await using _runner = await startRunner(store, [parent, child])
    const handle = await parent.start(store, undefined, { id: 'p' })
    await past.promise
    await handle.cancel()
    await until(async () => (await handle.state()) === 'undoing')
    await child.get(store, 'p/c').signal('go', 7)
    await expect(handle.result()).rejects.toMatchObject({ code: 'SAGA_CANCELLED' })
    expect(undone).toEqual([7])
  })

  it('that is stuck makes the parent that has to give it back stuck as well, and says which', async () => {
    await using opened = await open()
    const { store } = opened
    const child = saga('child', async (s) => {
      const forward = await s.pivot('cook', () => 1)
      await forward.step('serve', () => {
        throw notApplied()
      })
    })
    const parent = saga('parent', (s) => s.child('c', child, undefined))
    await using _runner = await startRunner(store, [parent, child])
    const handle = await parent.start(store, undefined, { id: 'p' })
    await until(
      async () =>
        (await child
          .get(store, 'p/c')
          .state()
          .catch(() => '')) === 'stuck',
    )
    await handle.cancel()
    await expect(handle.result()).rejects.toThrow('saga "p/c" is stuck')
  })

  it('is kept as long as its parent, which may not have seen its end yet', async () => {
    await using opened = await open()
    const { store } = opened
    const child = saga('child', async (s) => s.step('a', () => 7))
    const parent = saga('parent', (s) => s.child('c', child, undefined))
    const begun = await startRunner(store, [parent])
    const handle = await parent.start(store, undefined, { id: 'p' })
    await until(
      async () =>
        (await child
          .get(store, 'p/c')
          .state()
          .catch(() => '')) === 'running',
    )
    await begun.stop()
    const alone = await startRunner(store, [child])
    await child.get(store, 'p/c').result()
    await alone.stop()
    expect(await sagaOperations(store).purge({})).toBe(0)
    expect(await sagaOperations(store).purge({ ids: ['p/c'] })).toBe(0)
    await using _runner = await startRunner(store, [parent, child])
    expect(await handle.result()).toBe(7)
    let purged = 0 // what ended in this very millisecond, the next one removes
    await until(async () => {
      purged += await sagaOperations(store).purge({})
      return purged === 2
    })
  })
})

describe.each(stores)('branches, on $name', ({ open }) => {
  it('of which two fail at once: the same error on replay', async () => {
    await using opened = await open()
    const { store } = opened
    const gate = deferred<never>()
    gate.promise.catch(() => {})
    const once = { retry: { attemptsMax: 1 } }
    const ready = deferred<void>()
    const both = saga('both', async (s) => {
      let first = ''
      try {
        await s.all('both', {
          long: async (b) => {
            await b.step('one', () => 1)
            await b.step('two', () => telling(ready, () => gate.promise), once)
          },
          short: (b) => b.step('only', () => ready.promise.then(() => gate.promise), once),
        })
      } catch (error) {
        first = (error as { step: string }).step
      }
      const said = await s.step('say', first, ({ input }) => input)
      await s.receive('go')
      return said
    })
    await using runner = await startRunner(store, [both])
    const handle = await both.start(store, undefined, { id: 'b' })
    await ready.promise
    await new Promise((resolve) => setImmediate(resolve))
    gate.reject(Object.assign(new Error('the connection is gone'), { final: true }))
    await until(async () =>
      (await sagaOperations(store).show('b')).entries.some(({ step }) => step === 'say'),
    )
    await until(() => runner.figures().inMemory === 0)
    await handle.signal('go')
    expect(await handle.result()).toBe('both/long/two')
    const { entries } = await sagaOperations(store).show('b')
    expect(entries.filter((entry) => entry.kind === 'failed')).toHaveLength(2)
  })

  it('the time after a race is the same on replay', async () => {
    await using opened = await open()
    const { store } = opened
    const racing = saga('racing', async (s) => {
      await s.race('first', { a: (b) => b.sleep('a', 5) })
      await s.step('at', s.now(), () => 1)
      await s.sleep('a moment', 50) // laid down meanwhile
    })
    await using _runner = await startRunner(store, [racing])
    await racing.run(store, undefined)
  })

  it('a race without branches is refused', async () => {
    await using opened = await open()
    const { store } = opened
    const racing = saga('racing', (s) => s.race('none', {}))
    await using _runner = await startRunner(store, [racing])
    await expect(racing.run(store, undefined)).rejects.toThrow('race "none"')
  })

  it('an isFinal that throws on the way back makes the saga stuck, and not forgotten', async () => {
    await using opened = await open()
    const { store } = opened
    const bad = saga('bad', async (s) => {
      await s.step('a', () => 1, {
        undo: () => {
          throw new Error('no')
        },
        undoRetry: {
          isFinal: () => {
            throw new Error('a slip in isFinal')
          },
        },
      })
      throw new Error('back')
    })
    await using _runner = await startRunner(store, [bad])
    await expect(bad.run(store, undefined)).rejects.toThrow('a slip in isFinal')
  })
})
