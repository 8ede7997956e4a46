import { describe, expect, it } from 'vitest'
import { judgeClock } from '../../src/cli/doctor/clock-difference.ts'
import { judgePostgres } from '../../src/cli/doctor/judge-postgres.ts'
import { judgeRevisions } from '../../src/cli/doctor/judge-revisions.ts'
import type { PostgresFacts, TableFacts } from '../../src/cli/doctor/postgres-facts.ts'
import { judgeProxy } from '../../src/cli/doctor/proxy.ts'
import { judgeSqlite, type SqliteFacts } from '../../src/cli/doctor/sqlite-findings.ts'
import { stateOf } from '../../src/cli/revisions.ts'

const SETTINGS = {
  autovacuum: 'on',
  default_transaction_isolation: 'read committed',
  default_transaction_read_only: 'off',
  fsync: 'on',
  full_page_writes: 'on',
  idle_in_transaction_session_timeout: '5000',
  idle_session_timeout: '0',
  lock_timeout: '0',
  max_connections: '100',
  reserved_connections: '0',
  server_encoding: 'UTF8',
  statement_timeout: '0',
  superuser_reserved_connections: '3',
  synchronous_commit: 'on',
  synchronous_standby_names: '',
  transaction_timeout: '0',
}

const TABLE: TableFacts = {
  name: 'holdfast_outbox',
  unlogged: false,
  autovacuumOff: false,
  liveRows: 10,
  deadRows: 10,
  missingRights: [],
}

const HEALTHY: PostgresFacts = {
  versionNumber: 150_004,
  settings: SETTINGS,
  inRecovery: false,
  connections: 4,
  oldestTransactionMs: 20,
  oldestPreparedMs: undefined,
  oldestOwnPreparedMs: undefined,
  tables: [TABLE],
  maySeeOthers: true,
  mayCreate: false,
  superuser: false,
}

const PLAN = { leaseMs: 10_000, poolConnections: undefined }
const set = (settings: Partial<typeof SETTINGS>): Partial<PostgresFacts> => ({
  settings: { ...SETTINGS, ...settings },
})
const table = (facts: Partial<TableFacts>): Partial<PostgresFacts> => ({ tables: [{ ...TABLE, ...facts }] })

describe('doctor on PostgreSQL', () => {
  it('finds nothing in a healthy server', () => {
    expect(judgePostgres(HEALTHY, PLAN).filter((f) => f.level !== 'ok')).toEqual([])
  })

  it.each<[string, string, Partial<PostgresFacts>]>([
    ['version', 'problem', { versionNumber: 120_011 }],
    ['writable', 'problem', { inRecovery: true }],
    ['writable', 'problem', set({ default_transaction_read_only: 'on' })],
    ['encoding', 'warning', set({ server_encoding: 'LATIN1' })],
    ['durability', 'warning', set({ fsync: 'off' })],
    ['durability', 'warning', set({ full_page_writes: 'off' })],
    ['durability', 'warning', set({ synchronous_commit: 'off' })],
    ['durability', 'warning', set({ synchronous_commit: 'local', synchronous_standby_names: 'b' })],
    ['isolation', 'note', set({ default_transaction_isolation: 'serializable' })],
    ['idle-in-transaction', 'warning', set({ idle_in_transaction_session_timeout: '0' })],
    ['idle-in-transaction', 'warning', set({ idle_in_transaction_session_timeout: '60000' })],
    ['statement-timeout', 'warning', set({ statement_timeout: '500' })],
    ['transaction-timeout', 'warning', set({ transaction_timeout: '500' })],
    ['connections', 'warning', { connections: 90 }],
    ['old-transactions', 'warning', { oldestTransactionMs: 3_600_000 }],
    ['old-transactions', 'warning', { oldestPreparedMs: 3_600_000 }],
    ['autovacuum', 'warning', set({ autovacuum: 'off' })],
    ['autovacuum', 'warning', table({ deadRows: 2_000_000 })],
    ['rights-holdfast_outbox', 'problem', table({ missingRights: ['delete'] })],
    ['unlogged-holdfast_outbox', 'problem', table({ unlogged: true })],
    ['autovacuum-holdfast_outbox', 'warning', table({ autovacuumOff: true })],
    ['role', 'note', { superuser: true }],
    ['role', 'note', { mayCreate: true }],
  ])('%s: a %s', (check, level, facts) => {
    const findings = judgePostgres({ ...HEALTHY, ...facts }, PLAN).filter((f) => f.level !== 'ok')
    expect(findings).toEqual([expect.objectContaining({ check, level, advice: expect.stringMatching(/./) })])
  })

  it('compares the pools with max_connections', () => {
    const with97 = judgePostgres(HEALTHY, { ...PLAN, poolConnections: 97 })
    const with98 = judgePostgres(HEALTHY, { ...PLAN, poolConnections: 98 })
    expect(with97.find((f) => f.check === 'connections')?.level).toBe('ok')
    expect(with98.find((f) => f.check === 'connections')?.level).toBe('problem')
  })

  it('asks of the table of revisions no more than to be read', () => {
    const facts = table({ name: 'holdfast_revision', missingRights: ['insert', 'update', 'delete'] })
    expect(judgePostgres({ ...HEALTHY, ...facts }, PLAN).filter((f) => f.level !== 'ok')).toEqual([])
  })

  it.each([
    [{ announced: 7, first: 7, second: 7 }, 'ok'],
    [{ announced: undefined, first: 7, second: 7 }, 'ok'],
    [{ announced: 3, first: 7, second: 7 }, 'note'],
    [{ announced: 3, first: 7, second: 8 }, 'warning'],
  ])('a proxy that gives %o is a %s', (facts, level) => {
    expect(judgeProxy(facts).level).toBe(level)
  })
})

describe('doctor on SQLite', () => {
  const healthy: SqliteFacts = {
    version: '3.45.1',
    journalMode: 'wal',
    fileWritable: true,
    folderWritable: true,
    fileSystem: 0xef53,
    freeBytes: 2 ** 40,
    logBytes: 0,
    writeLock: true,
  }

  it('finds nothing in a healthy file', () => {
    expect(judgeSqlite(healthy).filter((f) => f.level !== 'ok')).toEqual([])
  })

  it.each<[string, string, Partial<SqliteFacts>]>([
    ['version', 'problem', { version: '3.37.2' }],
    ['writable', 'problem', { fileWritable: false }],
    ['writable', 'problem', { folderWritable: false }],
    ['journal', 'problem', { journalMode: 'delete' }],
    ['file-system', 'warning', { fileSystem: 0x6969 }],
    ['disk', 'warning', { freeBytes: 1000 }],
    ['log', 'warning', { logBytes: 2 ** 30 }],
    ['write-lock', 'warning', { writeLock: false }],
  ])('%s: a %s', (check, level, facts) => {
    const findings = judgeSqlite({ ...healthy, ...facts }).filter((f) => f.level !== 'ok')
    expect(findings).toEqual([expect.objectContaining({ check, level })])
  })
})

describe('doctor on clocks and revisions', () => {
  it.each([
    [{ differenceMs: 400, errorMs: 1 }, 'ok'],
    [{ differenceMs: -5_000, errorMs: 1 }, 'warning'],
    [{ differenceMs: 5_000, errorMs: 4_500 }, 'ok'], // a slow network, not a wrong clock
  ])('a clock of %o is %s', (difference, level) => {
    expect(judgeClock(difference).level).toBe(level)
  })

  it.each([
    [0, 2, 0, 'missing'],
    [1, 2, 1, 'older'],
    [2, 2, 1, 'current'],
    [3, 2, 2, 'newer'],
    [3, 2, 3, 'unreadable'],
    [Number.NaN, 2, 1, 'unreadable'],
  ])('tables at %i for code of %i, readable from %i, are %s', (found, needed, readableFrom, state) => {
    expect(stateOf(found, needed, readableFrom)).toBe(state)
  })

  it('calls missing tables a problem only when all are missing', () => {
    const store = { capability: 'store', found: 1, needed: 1, state: 'current' } as const
    const outbox = { capability: 'outbox', found: 0, needed: 1, state: 'missing' } as const
    expect(judgeRevisions([store, outbox]).map((f) => f.level)).toEqual(['ok', 'note'])
    expect(judgeRevisions([outbox]).map((f) => f.level)).toEqual(['problem'])
  })
})
