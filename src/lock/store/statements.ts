import { type Sql, sql } from '../../store/sql.ts'
import type { Store } from '../../store/store.ts'
import type { LockRequest } from '../engine.ts'
import { ENTRIES_MAX, LIMIT_MAX } from '../queue.ts'

/** Of whom, in statements that need no more of a request. */
type Entry = Pick<LockRequest, 'name' | 'holder'>

/**
 * Takes a lock that nobody holds or waits for, or whose only entry has ended; no row when there are others, or when the name
 * is new. A plain update of one row by its key: a third of what the next statement costs the database, which is for what is
 * contended. A wait for the row ends with another look at its newest version.
 */
export function takeStatement(store: Store, { name, holder, mode, limit, ttlMs }: LockRequest): Sql {
  const { greatest, nowMs } = store.dialect
  return sql`update ${store.table('lock')} set token = token + 1, changed_ms = ${greatest}(changed_ms, ${nowMs}),
      until_ms = ${greatest}(changed_ms, ${nowMs}) + ${ttlMs}, holder = ${holder}, mode = ${mode}, holders_max = ${Math.min(limit, LIMIT_MAX)}
    where name = ${name} and until_ms <= ${greatest}(changed_ms, ${nowMs}) returning cast(token as text) as token`
}

/** Releases a lock that nobody has joined; no row when somebody has, or when the entry is not there. */
export function giveStatement(store: Store, { name, holder }: Entry): Sql {
  return sql`update ${store.table('lock')} set until_ms = 0
    where name = ${name} and holder = ${holder} and until_ms > 0 returning 1 as released`
}

/**
 * One statement that joins the queue, or keeps the place that is there, and gives the queue as it then is.
 *
 * All that decides stands in the row: on PostgreSQL the conflicting row is locked first and SET is computed from its
 * newest version, while a subquery of another table would see it as of before the wait. The clock is read when the
 * statement begins (`excluded.changed_ms`), so a wait for the row makes entries live a little longer than they should
 * and the own one end a little earlier: both are safe. `greatest` keeps a clock that is set back from reviving anything.
 *
 * `kept` are the entries that still run, as many as `running`, the own one (if it is `mine`) with its new end; `added` says
 * that the own one is new. An entry in the columns moves into the document when another is added, and only then.
 * @see PostgreSQL manual, INSERT, ON CONFLICT Clause
 */
export function askStatement(store: Store, request: LockRequest, wait: boolean): Sql {
  const { name, holder, mode, ttlMs } = request
  const limit = Math.min(request.limit, LIMIT_MAX)
  const table = store.table('lock')
  const { nowMs } = store.dialect
  if (store.dialect.name === 'sqlite') {
    return sql`insert into ${table} as l (name, token, entries, changed_ms, until_ms, holder, mode, holders_max)
      select ${name}, 1, '[]', now, now + ${ttlMs}, ${holder}, ${mode}, ${limit} from (select ${nowMs} as now) where true
      on conflict (name) do update set (token, entries, changed_ms, until_ms, holder, mode, holders_max) = (
        select l.token + added, case when added and running > 0 then json_insert(kept, '$[#]', json_object('h', ${holder}, 'm', ${mode},
            'l', ${limit}, 't', cast(l.token + 1 as text), 'u', now + ${ttlMs}, 'a', now)) when l.until_ms is null then kept else '[]' end,
          ${columnsAfter(sql`now + ${ttlMs}`)}
        from (
          select now, count(value) as running, coalesce(max(value ->> 'h' = ${holder}), 0) as mine,
            coalesce(json_group_array(json(case when value ->> 'h' = ${holder}
              then json_set(value, '$.u', now + ${ttlMs}) else value end)) filter (where value is not null), '[]') as kept,
            coalesce(max(value ->> 'h' = ${holder}), 0) = 0 and case when ${wait ? 1 : 0} = 1 then count(value) < ${ENTRIES_MAX}
              else count(value) < ${limit} and coalesce(min(value ->> 'm' = ${mode}), 1) end as added
          from (select max(l.changed_ms, excluded.changed_ms) as now) left join json_each(${QUEUE.sqlite}) on value ->> 'u' > now
        )
      )
      returning ${QUEUE.sqlite} as queue, changed_ms`
  }
  return sql`insert into ${table} as l (name, token, entries, changed_ms, until_ms, holder, mode, holders_max)
    select ${name}::text, 1, '[]'::jsonb, now, now + ${ttlMs}::bigint, ${holder}::text, ${mode}::text, ${limit}::integer
    from (select ${nowMs} as now) as clock
    on conflict (name) do update set (token, entries, changed_ms, until_ms, holder, mode, holders_max) = (
      select l.token + added::int, case when added and running > 0 then kept || jsonb_build_array(jsonb_build_object('h', ${holder}::text, 'm', ${mode}::text,
          'l', ${limit}::integer, 't', (l.token + 1)::text, 'u', now + ${ttlMs}::bigint, 'a', now)) when l.until_ms is null then kept else '[]' end,
        ${columnsAfter(sql`now + ${ttlMs}::bigint`)}
      from (
        select now, count(value) as running, coalesce(bool_or(value ->> 'h' = ${holder}), false) as mine,
          coalesce(jsonb_agg(case when value ->> 'h' = ${holder}
            then jsonb_set(value, '{u}', to_jsonb(now + ${ttlMs}::bigint)) else value end order by place) filter (where value is not null), '[]') as kept,
          not coalesce(bool_or(value ->> 'h' = ${holder}), false) and case when ${wait} then count(value) < ${ENTRIES_MAX}
            else count(value) < ${limit} and coalesce(bool_and(value ->> 'm' = ${mode}), true) end as added
        from (select greatest(l.changed_ms, excluded.changed_ms) as now) as clock
          left join lateral jsonb_array_elements(${QUEUE.postgres}) with ordinality as e (value, place) on (value ->> 'u')::bigint > now
        group by now
      ) as looked
    )
    returning (${QUEUE.postgres})::text as queue, changed_ms`
}

/** The row's queue as a document, wherever it stands. SQLite knows no alias in RETURNING. */
const QUEUE = {
  sqlite: sql.raw(`case when until_ms > 0 then json_array(json_object('h', holder, 'm', mode,
    'l', holders_max, 't', cast(token as text), 'u', until_ms, 'a', changed_ms)) else entries end`),
  postgres:
    sql.raw(`case when l.until_ms > 0 then jsonb_build_array(jsonb_build_object('h', l.holder, 'm', l.mode,
    'l', l.holders_max, 't', l.token::text, 'u', l.until_ms, 'a', l.changed_ms)) else l.entries end`),
}

/** `changed_ms, until_ms, holder, mode, holders_max` after a request whose lease would end at `until`. */
function columnsAfter(until: Sql): Sql {
  return sql`case when l.until_ms is not null and running > 0 and not added then l.changed_ms else now end,
          case when running = 0 or l.until_ms is not null and mine then ${until} when added then null else l.until_ms end,
          case when running = 0 then excluded.holder else l.holder end,
          case when running = 0 then excluded.mode else l.mode end,
          case when running = 0 then excluded.holders_max else l.holders_max end`
}

/** Keeps an entry that still runs for another `ttlMs`; changes nothing when it has ended. */
export function renewStatement(store: Store, { name, holder, ttlMs }: LockRequest): Sql {
  const table = store.table('lock')
  const { greatest, nowMs } = store.dialect
  const now = sql`${greatest}(l.changed_ms, ${nowMs})`
  if (store.dialect.name === 'sqlite') {
    return sql`update ${table} as l set until_ms = case when until_ms is not null then ${now} + ${ttlMs} end, entries = (
        select json_group_array(json(case when value ->> 'h' = ${holder} then json_set(value, '$.u', ${now} + ${ttlMs}) else value end))
        from json_each(l.entries))
      where name = ${name} and (l.holder = ${holder} and until_ms > ${now}
        or exists (select 1 from json_each(l.entries) where value ->> 'h' = ${holder} and value ->> 'u' > ${now}))`
  }
  return sql`update ${table} as l set until_ms = case when until_ms is not null then ${now} + ${ttlMs} end, entries = (
      select coalesce(jsonb_agg(case when value ->> 'h' = ${holder} then jsonb_set(value, '{u}', to_jsonb(${now} + ${ttlMs}::bigint)) else value end order by place), '[]')
      from jsonb_array_elements(l.entries) with ordinality as e (value, place))
    where name = ${name} and (l.holder = ${holder} and until_ms > ${now}
      or exists (select 1 from jsonb_array_elements(l.entries) as e (value) where value ->> 'h' = ${holder} and (value ->> 'u')::bigint > ${now}))`
}

/** Removes one entry and gives what is left of those in the document; no row when the entry was not there. */
export function releaseStatement(store: Store, { name, holder }: Entry): Sql {
  return removeStatement(store, name, [holder])
}

/** Removes the entries of these holders. When none is left, the columns serve again. */
export function removeStatement(store: Store, name: string, holders: readonly string[]): Sql {
  const table = store.table('lock')
  const { dialect } = store
  const alone = sql`until_ms > 0 and ${dialect.isOneOf(sql`l.holder`, 'text', holders)}`
  const theirs = dialect.isOneOf(sql`value ->> 'h'`, 'text', holders)
  if (dialect.name === 'sqlite') {
    return sql`update ${table} as l set (entries, until_ms) = (
        select json_group_array(json(value)), case when count(*) = 0 then 0 end from json_each(l.entries) where not (${theirs}))
      where name = ${name} and (${alone} or exists (select 1 from json_each(l.entries) where ${theirs}))
      returning entries as queue`
  }
  return sql`update ${table} as l set (entries, until_ms) = (
      select coalesce(jsonb_agg(value order by place), '[]'), case when count(*) = 0 then 0 end
      from jsonb_array_elements(l.entries) with ordinality as e (value, place) where not (${theirs}))
    where name = ${name} and (${alone} or exists (select 1 from jsonb_array_elements(l.entries) as e (value) where ${theirs}))
    returning entries::text as queue`
}

/** Queues that are not empty, ascending by name, with the store's clock. */
export function readStatement(store: Store, where: Sql, limit: number): Sql {
  const { nowMs, name } = store.dialect
  const queue = name === 'sqlite' ? QUEUE.sqlite : sql`(${QUEUE.postgres})::text`
  return sql`select name, ${queue} as queue, ${nowMs} as now_ms from ${store.table('lock')} as l
    where ${where} and (until_ms > ${nowMs} or until_ms is null and entries <> '[]') order by name limit ${limit}`
}
