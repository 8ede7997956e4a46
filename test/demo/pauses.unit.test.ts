/** When a process of the demo may stop itself, and when it is woken. */
import { expect, it } from 'vitest'
import { Pauses } from '../../examples/food-delivery/run/pauses.ts'
import { Timeline } from '../../examples/food-delivery/run/timeline.ts'
import { ordersToPauseIn } from '../../examples/food-delivery/saga/pause.ts'

const keysOf = (count: number): string[] => Array.from({ length: count }, (_, i) => `order-${i}`)

/** A process that does what it was about to do as soon as it is woken. */
function world() {
  const ended = new Set<string>()
  const orders = {
    has: (key: string) => ended.has(key),
    get count() {
      return ended.size
    },
  }
  const pauses = new Pauses(new Timeline(), orders)
  const process = (key: string, hasSuccessor: () => boolean) => {
    const answers: boolean[] = []
    let alive = true
    const one = {
      isAlive: () => alive,
      hasSuccessor,
      wake: () => pauses.over(one, key),
    }
    const ask = (sure: boolean, about = key): Promise<void> =>
      pauses.ask(one, { service: 'order', key: about, sure, answer: (granted) => answers.push(granted) })
    const die = (): void => {
      alive = false
    }
    return { one, answers, ask, die }
  }
  return { ended, pauses, process }
}

it('each run of the sagas has an order in whose midst a process stops, early enough to be seen', () => {
  for (const count of [1, 2, 60, 150]) {
    const [key, ...more] = ordersToPauseIn(keysOf(count), 7)
    expect(more).toEqual([])
    expect(keysOf(Math.ceil(count / 2))).toContain(key)
  }
  expect(ordersToPauseIn(keysOf(1_000), 1)).toHaveLength(4)
  expect(ordersToPauseIn(keysOf(500), 3)).toEqual(ordersToPauseIn(keysOf(500), 3))
  expect(ordersToPauseIn([], 3)).toEqual([])
})

it('a stopped process is woken when its order has ended, and not before', async () => {
  const { ended, pauses, process } = world()
  const { one, answers, ask } = process('order-1', () => true)
  const asked = ask(true)
  expect([answers, pauses.isUnder(one), pauses.count]).toEqual([[true], true, 1])
  ended.add('order-1')
  await asked
  expect([pauses.isUnder(one), pauses.count]).toEqual([false, 0])
})

it('one that has to stop waits until somebody can take over; one that need not goes on', async () => {
  const { ended, process } = world()
  let there = false
  const { answers, ask } = process('order-1', () => there)
  await ask(false)
  expect(answers).toEqual([false])
  const asked = ask(true)
  ended.add('order-1')
  there = true
  await asked
  expect(answers).toEqual([false, true])
})

it('an order has its sure pause once, whoever comes to it again', async () => {
  const { ended, process } = world()
  const [first, second] = [process('order-1', () => true), process('order-1', () => true)]
  const asked = first.ask(true)
  await second.ask(true)
  expect([first.answers, second.answers]).toEqual([[true], [false]])
  ended.add('order-1')
  await asked
})

it('one that stops for an order does not stop for another one meanwhile', async () => {
  const { ended, process } = world()
  const { answers, ask } = process('order-1', () => true)
  const asked = ask(true)
  await ask(false, 'order-2')
  expect(answers).toEqual([true, false])
  ended.add('order-1')
  await asked
})

it('whoever dies is waited for no longer, and its order has its pause in another process', async () => {
  const { ended, pauses, process } = world()
  const gone = process('order-1', () => false)
  const asked = gone.ask(true)
  gone.die()
  await asked
  expect(gone.answers).toEqual([false])

  const dying = process('order-1', () => true)
  const again = dying.ask(true)
  dying.die()
  await again
  expect([dying.answers, pauses.count]).toEqual([[true], 0])

  const next = process('order-1', () => true)
  const last = next.ask(true)
  ended.add('order-1')
  await last
  expect(next.answers).toEqual([true])
})
