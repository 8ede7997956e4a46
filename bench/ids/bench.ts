import { feistel, memoryCounter, multiplicative, type Permutation, permutedIds } from 'holdfast/id'
import { nanoid } from 'nanoid'
import Sqids from 'sqids'
import { ulid } from 'ulid'
import { v7 } from 'uuid'
import { atLeast, median, type Sample, toRows } from '../lib/report.ts'
import type { Bench } from '../main.ts'

/** Ids per second on one core. Peers make text; ours are 64 bits, as halves, as bigints, and as text of base62. */
export const bench: Bench = {
  withoutServer: true,
  async run({ rounds, scale, only, progress }) {
    const samples: Sample[] = []
    const count = Math.max(1000, Math.round(4_000_000 * scale))
    for (let round = 1; round <= rounds; round++) {
      for (const [system, metric, make] of WAYS) {
        if (only !== undefined && !metric.includes(only) && !system.includes(only)) continue
        await make(Math.min(count, 50_000)) // compiled before it is timed
        global.gc?.()
        const began = performance.now()
        const made = await make(count)
        const value = (made / (performance.now() - began)) * 1000
        samples.push({ system, metric, unit: 'ids/s', value })
        progress(`round ${round}: ${metric}: ${system}: ${(value / 1e6).toFixed(1)} million/s`)
      }
    }
    const of = (metric: string, system: string) =>
      median(samples.filter((s) => s.metric === metric && s.system === system).map((s) => s.value))
    return {
      bench: 'ids',
      rows: toRows(samples),
      targets: [
        atLeast('ids.multiplicativePerSecond', of('halves', 'multiplicative'), 20e6),
        atLeast('ids.multiplicativeDiscardedPerSecond', of('bigints, discarded', 'multiplicative'), 20e6),
        atLeast('ids.multiplicativeRetainedPerSecond', of('bigints, retained', 'multiplicative'), 8e6),
        atLeast('ids.feistelPerSecond', of('halves', 'feistel'), 5e6),
      ].filter((target) => Number.isFinite(target.value)),
    }
  },
}

type Way = readonly [system: string, metric: string, make: (count: number) => Promise<number> | number]

const PERMUTATIONS: Record<string, Permutation> = {
  multiplicative: multiplicative('public'),
  feistel: feistel('public'),
}
const sqids = new Sqids()

const WAYS: readonly Way[] = [
  ...Object.entries(PERMUTATIONS).flatMap(([name, permutation]): Way[] => [
    [name, 'halves', (count) => halves(permutation, count)],
    [name, 'bigints, discarded', (count) => discarded(permutation, count)],
    [name, 'bigints, retained', (count) => retained(permutation, count)],
    [name, 'one by one, tryNext or next', (count) => oneByOne(permutation, count)],
  ]),
  ...Object.entries({
    ulid: () => ulid(),
    'uuid v7': () => v7(),
    nanoid: () => nanoid(),
  }).map(([name, make]): Way => [name, 'text', (count) => text(make, count)]),
  ['sqids', 'text', (count) => text((n) => sqids.encode([n]), count)],
]

/** `fill`, read as 32-bit halves: what a writer of binary protocols does. No bigint is made. */
async function halves(permutation: Permutation, count: number): Promise<number> {
  await using ids = generator(permutation)
  const block = new BigUint64Array(65_536)
  const words = new Uint32Array(block.buffer)
  let sum = 0
  let made = 0
  for (; made < count; made += block.length) {
    await ids.fill(block)
    for (let i = 0; i < words.length; i++) sum = (sum + (words[i] as number)) | 0
  }
  keep(sum)
  return made
}

/** `fill`, each id read as a bigint that is dropped at once. */
async function discarded(permutation: Permutation, count: number): Promise<number> {
  await using ids = generator(permutation)
  const block = new BigUint64Array(65_536)
  let sum = 0n
  let made = 0
  for (; made < count; made += block.length) {
    await ids.fill(block)
    for (let i = 0; i < block.length; i++) sum = BigInt.asUintN(64, sum ^ (block[i] as bigint))
  }
  keep(sum)
  return made
}

/** `fill`, each id kept as a bigint of its own. */
async function retained(permutation: Permutation, count: number): Promise<number> {
  await using ids = generator(permutation)
  const block = new BigUint64Array(65_536)
  const all = new Array<bigint>(Math.ceil(count / block.length) * block.length)
  let made = 0
  for (; made < count; made += block.length) {
    await ids.fill(block)
    for (let i = 0; i < block.length; i++) all[made + i] = block[i] as bigint
  }
  keep(all)
  return made
}

async function oneByOne(permutation: Permutation, count: number): Promise<number> {
  await using ids = generator(permutation)
  let sum = 0n
  for (let made = 0; made < count; made++)
    sum = BigInt.asUintN(64, sum ^ (ids.tryNext() ?? (await ids.next())))
  keep(sum)
  return count
}

/** A tenth as many: text is slower. */
function text(make: (n: number) => string, count: number): number {
  let length = 0
  const some = Math.ceil(count / 10)
  for (let made = 0; made < some; made++) length += make(made).length
  keep(length)
  return some
}

function generator(permutation: Permutation) {
  return permutedIds({ instance: 1, source: memoryCounter(), permutation, blockSize: 65_536 })
}

let kept: unknown

/** What a loop made is used, so that it cannot be optimised away. */
function keep(value: unknown): void {
  kept = value
  if (kept === undefined) throw new Error('nothing was made')
}
