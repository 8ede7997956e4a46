import type { LockEntryInfo, LockInfo } from '../../lock/index.ts'
import { printAge } from '../age.ts'
import { CliError, usageError } from '../cli-error.ts'
import { type Command, EXIT, flag } from '../command.ts'
import { LOCKS_OPTIONS } from '../locks/locks-address.ts'
import { withLocks } from '../locks/open-locks.ts'
import { alignColumns } from '../text-table.ts'
import { readLimit } from '../whole-number.ts'

const list: Command = {
  name: 'locks list',
  summary: 'list the locks that are held: holder, token, age, who waits',
  description: [
    'Of the store, or of Redis, etcd or ZooKeeper with --locks, for which the project has the driver of its locks (ioredis,',
    'etcd3, node-zookeeper-client). What is left of a lease is known to the store and to Redis only.',
  ].join('\n'),
  options: {
    ...LOCKS_OPTIONS,
    limit: { type: 'string', value: 'N', summary: 'show at most so many; default 100' },
  },
  examples: [
    { line: 'holdfast locks list --store sqlite:shop.db', does: 'all that is held now' },
    { line: 'holdfast locks list --locks redis://127.0.0.1:6379', does: 'in Redis' },
    { line: 'holdfast locks list --locks etcd://a:2379,b:2379,c:2379 --json', does: 'in a cluster of etcd' },
  ],
  run(given) {
    const limit = readLimit(given, 100)
    return withLocks(given, async (opened) => {
      const locks = await opened.list({ limit })
      return { exitCode: EXIT.ok, text: printList(locks), data: { locks: locks.map(toJson) } }
    })
  },
}

const show: Command = {
  name: 'locks show',
  summary: 'show one lock: its holders and its queue',
  positionals: ['NAME'],
  options: LOCKS_OPTIONS,
  examples: [
    { line: 'holdfast locks show invoice:42 --store sqlite:shop.db', does: 'in order of arrival' },
    { line: 'holdfast locks show invoice:42 --locks zookeeper://a:2181,b:2181,c:2181', does: 'in ZooKeeper' },
  ],
  run: (given) =>
    withLocks(given, async (locks) => {
      const name = given.positionals[0] as string
      const info = await locks.show(name)
      if (info === undefined) throw notHeld(name)
      return { exitCode: EXIT.ok, text: printWhole(info), data: toJson(info) }
    }),
}

const release: Command = {
  name: 'locks release',
  summary: 'take a lock away from its holder',
  description: [
    'For a holder that hangs: one that was killed loses the lock by itself when its lease ends. A living holder learns of it',
    'at its next renewal and may write until then; what refuses those writes is the guard (fence), once the next holder',
    'has written.',
  ].join('\n'),
  positionals: ['NAME'],
  options: { ...LOCKS_OPTIONS, force: { type: 'boolean', summary: 'needed, since the holder is not asked' } },
  examples: [
    {
      line: 'holdfast locks release invoice:42 --force',
      does: 'the next one in the queue gets it',
    },
    { line: 'holdfast locks release invoice:42 --force --locks redis://127.0.0.1:6379', does: 'in Redis' },
  ],
  run(given) {
    if (!flag(given, 'force')) {
      throw usageError('this takes the lock away from a holder that may be at work: say --force')
    }
    return withLocks(given, async (locks) => {
      const name = given.positionals[0] as string
      const info = await locks.forceRelease(name)
      if (info === undefined) throw notHeld(name)
      const text = info.holders.map(({ holder, token }) => `released ${name} of ${holder}, token ${token}\n`)
      return { exitCode: EXIT.ok, text: text.join(''), data: { released: toJson(info) } }
    })
  },
}

export const lockCommands: readonly Command[] = [list, show, release]

function notHeld(name: string): CliError {
  return new CliError('NOT_FOUND', EXIT.problem, `nobody holds lock "${name}": see "holdfast locks list"`)
}

function printList(locks: readonly LockInfo[]): string {
  if (locks.length === 0) return 'no lock is held\n'
  const rows = locks.flatMap((lock) =>
    lock.holders.map((entry, i) => [
      lock.name,
      entry.mode,
      ...cells(entry),
      i === 0 ? `${lock.waiters.length}` : '',
    ]),
  )
  return `${alignColumns([['name', 'mode', 'holder', 'token', 'age', 'left', 'waiters'], ...rows]).join('\n')}\n`
}

function printWhole({ name, holders, waiters }: LockInfo): string {
  const rows = [
    ...holders.map((entry) => ['holds', entry.mode, ...cells(entry)]),
    ...waiters.map((entry) => ['waits', entry.mode, ...cells(entry)]),
  ]
  return `${name}\n${alignColumns([['', 'mode', 'holder', 'token', 'age', 'left'], ...rows]).join('\n')}\n`
}

function cells({ holder, token, ageMs, leftMs }: LockEntryInfo): string[] {
  return [
    holder,
    `${token}`,
    ageMs === null ? '-' : printAge(ageMs),
    leftMs === null ? '-' : printAge(leftMs),
  ]
}

/** Tokens are beyond what a JSON number keeps. */
function toJson({ name, holders, waiters }: LockInfo): object {
  const entry = (one: LockEntryInfo): object => ({ ...one, token: `${one.token}` })
  return { name, holders: holders.map(entry), waiters: waiters.map(entry) }
}
