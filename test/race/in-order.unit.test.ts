/** A search that has several schedules under way is the search that runs one at a time. */
import { describe, expect, it } from 'vitest'
import type { Footprint } from '../../src/race/footprint.ts'
import { inOrder } from '../../src/race/in-order.ts'
import { seeded } from '../../src/race/random.ts'
import { follow, PreemptionSearch, type Turn } from '../../src/race/search.ts'

interface Program {
  /** Steps of each task. */
  readonly steps: readonly number[]
  readonly skipEquivalent: boolean
  /** The steps of this run are not understood. */
  readonly strange: number
}

/** One schedule of tasks that never wait. Steps of the same parity are independent. */
function runOf({ steps }: Program, choices: readonly number[]) {
  const choose = follow(choices, String)
  const left = [...steps]
  const run = { choices: [] as number[], ready: [] as number[][], footprints: [] as Footprint[] }
  while (left.some((count) => count > 0)) {
    const ready = left.flatMap((count, task) => (count > 0 ? [task] : []))
    const choice = choose(ready, run.choices.at(-1), run.choices.length, ready) as number
    const table = `t${((left[choice] as number) + choice) % 2}`
    left[choice] = (left[choice] as number) - 1
    run.choices.push(choice)
    run.ready.push(ready)
    run.footprints.push({ reads: new Set(), locks: new Set([table]), publishes: new Set(), waits: false })
  }
  return run
}

/** What is run, in order, until the schedule with this number; then what a search with fewer preemptions would go on with. */
async function sequence(program: Program, width: number, stopAt: number) {
  const search = new PreemptionSearch(program)
  const random = seeded(width)
  const order: string[] = []
  const asText = (turn: Turn): string =>
    turn.kind === 'prefix' ? turn.prefix.choices.join('') : `${turn.kind} ${turn.number}`
  let ahead = 0
  await inOrder<Turn, ReturnType<typeof runOf> | undefined>({
    width,
    next(under) {
      ahead = Math.max(ahead, under)
      return search.next()
    },
    async run(turn) {
      for (let turns = Math.floor(random() * 4); turns > 0; turns -= 1) await Promise.resolve()
      return turn.kind === 'prefix' ? runOf(program, turn.prefix.choices) : undefined
    },
    learn(turn, run, rest) {
      order.push(asText(turn))
      const stop = order.length > stopAt
      if (stop) search.giveBack(rest.flatMap((one) => (one.kind === 'prefix' ? one.prefix : [])))
      if (turn.kind === 'prefix' && run !== undefined) {
        search.learn(turn.prefix, run, order.length === program.strange ? undefined : run.footprints)
      }
      return stop
    },
  })
  const { bound, extent } = search
  const after: string[] = []
  for (
    let prefix = search.takeBelow(9);
    prefix !== undefined && after.length < 20;
    prefix = search.takeBelow(9)
  ) {
    after.push(prefix.choices.join(''))
    search.learn(prefix, runOf(program, prefix.choices), runOf(program, prefix.choices).footprints)
  }
  return { ahead, result: { order, bound, extent, after } }
}

const PROGRAMS: readonly Program[] = [
  { steps: [3, 3], skipEquivalent: false, strange: 0 },
  { steps: [4, 3], skipEquivalent: true, strange: 0 },
  { steps: [2, 2, 2], skipEquivalent: false, strange: 0 },
  { steps: [3, 3], skipEquivalent: false, strange: 12 },
  { steps: [2, 2, 2], skipEquivalent: true, strange: 30 },
]

describe('a search with several schedules under way', () => {
  it.each(PROGRAMS)(
    'runs and learns what one at a time does: $steps, skips $skipEquivalent, strange $strange',
    async (program) => {
      for (const stopAt of [0, 3, 17, 40, 10_000]) {
        const { result: alone } = await sequence(program, 1, stopAt)
        for (const width of [2, 5, 16]) {
          const { ahead, result } = await sequence(program, width, stopAt)
          expect(result, `width ${width}, stopped at ${stopAt}`).toEqual(alone)
          if (stopAt > 100) expect(ahead, 'some were under way together').toBeGreaterThan(width === 2 ? 0 : 2)
        }
      }
    },
  )

  it('ends with the first failure in order, whichever comes first', async () => {
    const learned: number[] = []
    const numbers = [0, 1, 2, 3].values()
    const work = inOrder<number, void>({
      width: 4,
      next: () => numbers.next().value,
      async run(number) {
        if (number === 1) for (let turns = 0; turns < 10; turns += 1) await Promise.resolve()
        if (number >= 1) throw new Error(`failure ${number}`)
      },
      learn: (number) => {
        learned.push(number)
        return false
      },
    })
    await expect(work).rejects.toThrow('failure 1')
    expect(learned).toEqual([0])
  })
})
