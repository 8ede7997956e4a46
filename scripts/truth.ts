/**
 * Compares verdicts with histories that others wrote and judged. `npm run truth [FOLDER]`; without FOLDER the sets are
 * looked for in `../shared/histories`. Prints agreed/total and the time of each set, every disagreement, and ends with
 * 1 when there is one. A set that is not there is said to be missing.
 */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { linearizabilitySets } from './truth/linearizability.ts'
import { transactionSets } from './truth/transactions.ts'

export interface TruthCase {
  readonly name: string
  readonly expected: 'valid' | 'invalid'
  /** The verdict, with the reason where it is `unknown`. */
  actual(): string
}

export interface TruthSet {
  readonly name: string
  /** Folder under the shared one. */
  readonly folder: string
  cases(): Iterable<TruthCase>
}

const shared = resolve(process.argv[2] ?? fileURLToPath(new URL('../../shared/histories', import.meta.url)))
const sets: TruthSet[] = [...linearizabilitySets(shared), ...transactionSets(shared)]

let agreed = 0
let total = 0
let missing = 0
for (const set of sets) {
  if (!existsSync(join(shared, set.folder))) {
    console.log(`missing        ${set.name} (no folder ${set.folder})`)
    missing++
    continue
  }
  const startMs = performance.now()
  let ofSet = 0
  let agreedInSet = 0
  for (const one of set.cases()) {
    let actual: string
    try {
      actual = one.actual()
    } catch (error) {
      actual = `error: ${(error as Error).message}`
    }
    ofSet++
    if (actual === one.expected) agreedInSet++
    else console.log(`  DISAGREES ${one.name}: expected ${one.expected}, got ${actual}`)
  }
  agreed += agreedInSet
  total += ofSet
  const ms = performance.now() - startMs
  console.log(`${`${agreedInSet}/${ofSet}`.padEnd(12)} ${`${ms.toFixed(0)} ms`.padStart(9)}  ${set.name}`)
}
console.log(`${agreed}/${total} verdicts agree${missing > 0 ? `, ${missing} sets are missing` : ''}`)
process.exit(agreed === total ? 0 : 1)
