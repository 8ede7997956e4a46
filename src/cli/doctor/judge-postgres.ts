/** What the facts mean for Holdfast: one function per setting, each a table of what was seen and what follows. Pure. */
import { printAge } from '../age.ts'
import { type Finding, note, ok, problem, warning } from './finding.ts'
import type { PostgresFacts, TableFacts } from './postgres-facts.ts'

export interface PoolPlan {
  /** Leases last this long: what a stopped process may hold up must end sooner. */
  readonly leaseMs: number
  /** Connections that the application will open at most, over all its processes; undefined when not told. */
  readonly poolConnections: number | undefined
}

const OLD_TRANSACTION_MS = 300_000
/** A coordinator settles its own within seconds. */
const OLD_OWN_PREPARED_MS = 60_000
const SHORT_STATEMENT_MS = 5_000

export function judgePostgres(facts: PostgresFacts, plan: PoolPlan): Finding[] {
  return [
    version(facts),
    writable(facts),
    encoding(facts),
    durability(facts),
    isolation(facts),
    idleInTransaction(facts, plan),
    ...timeouts(facts),
    connections(facts, plan),
    oldTransactions(facts),
    ...vacuum(facts),
    ...facts.tables.flatMap(table),
    role(facts),
  ]
}

function version({ versionNumber }: PostgresFacts): Finding {
  const found = `PostgreSQL ${Math.floor(versionNumber / 10_000)}`
  if (versionNumber >= 130_000) return ok('version', found)
  return problem('version', found, 'Holdfast is written for 13 and later: upgrade the server')
}

function writable({ inRecovery, settings }: PostgresFacts): Finding {
  if (inRecovery) {
    return problem('writable', 'this server is a standby', 'it takes no writes: connect to the primary')
  }
  if (settings.default_transaction_read_only === 'on') {
    return problem(
      'writable',
      'default_transaction_read_only is on',
      'every transaction of this role is read-only: set it off for the role that Holdfast uses',
    )
  }
  return ok('writable', 'the server takes writes')
}

function encoding({ settings }: PostgresFacts): Finding {
  const found = `the database is encoded in ${settings.server_encoding}`
  if (settings.server_encoding === 'UTF8') return ok('encoding', found)
  return warning(
    'encoding',
    found,
    'a payload with text that this encoding lacks cannot be stored: use a UTF8 database',
  )
}

function durability({ settings }: PostgresFacts): Finding {
  if (settings.fsync === 'off' || settings.full_page_writes === 'off') {
    const off = settings.fsync === 'off' ? 'fsync' : 'full_page_writes'
    return warning(
      'durability',
      `${off} is off`,
      'a power failure may damage the database, and undo an order whose event was already sent: switch it on',
    )
  }
  const found = `synchronous_commit is ${settings.synchronous_commit}`
  if (settings.synchronous_commit === 'off') {
    return warning(
      'durability',
      found,
      'a crash of the server may undo the last commits, whose messages may already be out: set it on for the role that publishes',
    )
  }
  if (settings.synchronous_commit === 'local' && settings.synchronous_standby_names !== '') {
    return warning(
      'durability',
      `${found} although standbys are synchronous`,
      'a failover may undo the last commits, whose messages may already be out: set it on',
    )
  }
  return ok('durability', found)
}

function isolation({ settings }: PostgresFacts): Finding {
  const level = settings.default_transaction_isolation
  const found = `transactions begin at ${level}`
  if (level === 'read committed') return ok('isolation', found)
  return note(
    'isolation',
    found,
    'more transactions will be refused and retried; Holdfast itself needs no more than read committed',
  )
}

function idleInTransaction({ settings }: PostgresFacts, { leaseMs }: PoolPlan): Finding {
  const timeoutMs = Number(settings.idle_in_transaction_session_timeout)
  const found =
    timeoutMs === 0
      ? 'idle_in_transaction_session_timeout is off'
      : `idle_in_transaction_session_timeout is ${printAge(timeoutMs)}`
  if (timeoutMs > 0 && timeoutMs <= leaseMs) return ok('idle-in-transaction', found)
  return warning(
    'idle-in-transaction',
    found,
    `a process that stops inside a transaction keeps its row locks, and its successor waits, until the connection ends: alter role … set idle_in_transaction_session_timeout = '${leaseMs}ms', which is how long a lease lasts`,
  )
}

function timeouts({ settings }: PostgresFacts): Finding[] {
  return ['statement_timeout', 'transaction_timeout', 'idle_session_timeout'].flatMap((name) => {
    const ms = Number(settings[name] ?? 0)
    if (ms === 0) return []
    const check = name.replaceAll('_', '-')
    const found = `${name} is ${printAge(ms)}`
    if (ms >= SHORT_STATEMENT_MS) return [ok(check, found)]
    return [
      warning(
        check,
        found,
        'batches of a busy relay may take longer and would be cut off: raise it for this role',
      ),
    ]
  })
}

function connections(facts: PostgresFacts, { poolConnections }: PoolPlan): Finding {
  const { settings } = facts
  const usable =
    Number(settings.max_connections) -
    Number(settings.superuser_reserved_connections ?? 0) -
    Number(settings.reserved_connections ?? 0)
  const found = `${facts.connections} of ${usable} connections are in use`
  if (poolConnections !== undefined && poolConnections > usable) {
    return problem(
      'connections',
      `${found}; your pools may open ${poolConnections}`,
      'when all are busy the last ones are refused: lower the size of the pools, raise max_connections, or put a proxy in between',
    )
  }
  if (facts.connections > usable * 0.8) {
    return warning(
      'connections',
      found,
      'new ones will soon be refused: lower the size of the pools, or raise max_connections',
    )
  }
  return ok(
    'connections',
    poolConnections === undefined ? found : `${found}; your pools may open ${poolConnections}`,
  )
}

function oldTransactions(facts: PostgresFacts): Finding {
  const seen = facts.maySeeOthers ? '' : ' (of the sessions that this role may see)'
  if ((facts.oldestOwnPreparedMs ?? 0) > OLD_OWN_PREPARED_MS) {
    return warning(
      'old-transactions',
      `a prepared transaction of a two-phase commit is ${printAge(facts.oldestOwnPreparedMs ?? 0)} old`,
      'its coordinator has left it behind, and it keeps its locks: run twoPhase.recovery() in a process, or "holdfast two-phase recover"',
    )
  }
  if ((facts.oldestPreparedMs ?? 0) > OLD_TRANSACTION_MS) {
    return warning(
      'old-transactions',
      `a prepared transaction is ${printAge(facts.oldestPreparedMs ?? 0)} old`,
      'it keeps its locks, and vacuum from cleaning up, for ever: end it with COMMIT PREPARED or ROLLBACK PREPARED',
    )
  }
  const ageMs = facts.oldestTransactionMs ?? 0
  if (ageMs > OLD_TRANSACTION_MS) {
    return warning(
      'old-transactions',
      `a transaction is ${printAge(ageMs)} old${seen}`,
      'vacuum cannot clean up what ended after it began, so busy tables grow: find it in pg_stat_activity by xact_start',
    )
  }
  return ok('old-transactions', `no transaction is older than ${printAge(OLD_TRANSACTION_MS)}${seen}`)
}

function vacuum({ settings, tables }: PostgresFacts): Finding[] {
  if (settings.autovacuum === 'off') {
    return [
      warning(
        'autovacuum',
        'autovacuum is off',
        'the outbox and the leases change all the time and would grow without end: switch it on',
      ),
    ]
  }
  const bloated = tables.filter((t) => t.deadRows > 100_000 && t.deadRows > 10 * t.liveRows)
  if (bloated.length > 0) {
    const names = bloated.map((t) => `${t.name} (${t.deadRows} dead rows)`).join(', ')
    return [
      warning(
        'autovacuum',
        `vacuum does not keep up with ${names}`,
        'look for old transactions, and lower autovacuum_vacuum_scale_factor for these tables',
      ),
    ]
  }
  return [ok('autovacuum', 'autovacuum is on')]
}

function table({ name, unlogged, autovacuumOff, missingRights }: TableFacts): Finding[] {
  const findings: Finding[] = []
  // The table of revisions is only read, except by "migrate".
  const missing = name.endsWith('revision') ? missingRights.filter((r) => r === 'select') : missingRights
  if (missing.length > 0) {
    findings.push(
      problem(
        `rights-${name}`,
        `this role may not ${missing.join(', ')} on ${name}`,
        `grant ${missing.join(', ')} on ${name} to it (docs/reference/rights.md)`,
      ),
    )
  }
  if (unlogged) {
    findings.push(
      problem(
        `unlogged-${name}`,
        `${name} is unlogged`,
        `a crash of the server empties it: alter table ${name} set logged`,
      ),
    )
  }
  if (autovacuumOff) {
    findings.push(
      warning(
        `autovacuum-${name}`,
        `autovacuum is off for ${name}`,
        `it grows without end: alter table ${name} reset (autovacuum_enabled)`,
      ),
    )
  }
  return findings
}

function role({ superuser, mayCreate }: PostgresFacts): Finding {
  if (superuser) {
    return note(
      'role',
      'this role is a superuser',
      'the application needs none of that: docs/reference/rights.md has a role that suffices',
    )
  }
  if (mayCreate) {
    return note(
      'role',
      'this role may create tables',
      'only "holdfast migrate" needs that: docs/reference/rights.md has a role that suffices',
    )
  }
  return ok('role', 'this role has no right to create tables')
}
