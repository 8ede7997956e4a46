/** Sets of transactions: AWDIT's session histories by the folder they lie in, IsoVista's vectors and found bugs. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  checkTransactions,
  type Level,
  OK,
  parseText,
  type TransactionHistory,
  TransactionHistoryBuilder,
} from '../../src/history/transactions/index.ts'
import type { TruthSet } from '../truth.ts'

const LADDER = ['none', 'read-committed', 'read-atomic', 'causal'] as const
/** A search that takes longer than this counts as a disagreement. */
const LIMIT_MS = 60_000

export function transactionSets(shared: string): TruthSet[] {
  return [
    {
      name: 'AWDIT: read committed, read atomic, causal',
      folder: 'awdit',
      *cases() {
        for (const file of textFiles(join(shared, 'awdit'))) {
          const strongest = LADDER.indexOf(file.split('/')[0] as (typeof LADDER)[number])
          for (let level = 1; level < LADDER.length; level++) {
            yield at(
              join(shared, 'awdit', file),
              `${file} ${LADDER[level]}`,
              LADDER[level] as Level,
              level <= strongest,
            )
          }
        }
      },
    },
    {
      name: 'AWDIT: serializability and snapshot isolation, by exhaustive search',
      folder: 'awdit',
      *cases() {
        for (const [file, holds] of [
          ['causal/fully-ser.txt', true],
          ['causal/long-fork.txt', false],
          ['causal/lost-update.txt', false],
        ] as const) {
          for (const level of ['serializable', 'snapshot-isolation'] as const) {
            yield at(join(shared, 'awdit', file), `${file} ${level}`, level, holds)
          }
        }
      },
    },
    {
      name: 'IsoVista: vectors for snapshot isolation and serializability',
      folder: 'isovista',
      *cases() {
        const vectors = JSON.parse(
          readFileSync(join(shared, 'isovista', 'si_ser_vectors.json'), 'utf8'),
        ) as Vector[]
        for (const vector of vectors) {
          yield {
            name: `${vector.id} ${vector.model}`,
            expected: vector.expect_accept ? 'valid' : 'invalid',
            actual: () => verdict(ofVector(vector), vector.model),
          }
        }
      },
    },
    {
      name: 'IsoVista: histories of bugs in databases',
      folder: 'isovista',
      *cases() {
        for (const [file, level, holds] of [
          ['dgraph_si.txt', 'snapshot-isolation', false],
          ['pg_ser_bug.txt', 'serializable', false],
          ['pg_ser_bug.txt', 'snapshot-isolation', true],
          ['yugabyte_tcc.txt', 'causal', false],
        ] as const) {
          yield at(join(shared, 'isovista', file), `${file} ${level}`, level, holds)
        }
      },
    },
  ]
}

interface Vector {
  readonly id: string
  readonly model: 'snapshot-isolation' | 'serializable'
  readonly expect_accept: boolean
  readonly sessions: readonly (readonly (readonly ['r' | 'w', string, number][])[])[]
}

function at(path: string, name: string, level: Level, holds: boolean) {
  return {
    name,
    expected: holds ? 'valid' : 'invalid',
    actual: () => verdict(parseText(readFileSync(path, 'utf8')), level),
  } as const
}

function verdict(history: TransactionHistory, level: Level): string {
  const startMs = performance.now()
  const expired = (): boolean => performance.now() - startMs > LIMIT_MS
  const { verdict, reason } = checkTransactions(history, { model: 'rw-register', level, expired })
  return verdict === 'unknown' ? `unknown (${reason})` : verdict
}

/** In the vectors the initial value is the one that is never written. */
function ofVector(vector: Vector): TransactionHistory {
  const written = new Set(
    vector.sessions.flat(2).map(([f, key, value]) => (f === 'w' ? `${key} ${value}` : '')),
  )
  const builder = new TransactionHistoryBuilder()
  let number = 0
  vector.sessions.forEach((session, s) => {
    for (const transaction of session) {
      builder.begin({ session: s, status: OK, at: ++number })
      for (const [f, key, value] of transaction) {
        if (f === 'w') builder.write(key, value)
        else builder.read(key, written.has(`${key} ${value}`) ? value : null)
      }
    }
  })
  return builder.finish({ definition: 'axiomatic', unit: 'transaction' })
}

function textFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((file) => file.replaceAll('\\', '/'))
    .filter((file) => file.endsWith('.txt'))
    .sort()
}
