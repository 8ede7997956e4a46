import { type Sql, sql } from '../../store/sql.ts'
import type { Store } from '../../store/store.ts'
import type { LockRequest } from '../engine.ts'
import { ENTRIES_MAX, LIMIT_MAX } from '../queue.ts'

/**
 * One statement that joins the queue, or keeps the place that is there, and gives the queue as it then is.
 *
 * All that decides stands in the row: on PostgreSQL the conflicting row is locked first and SET is computed from its
 * newest version, while a subquery of another table would see it as of before the wait. The clock is read when the
 * statement begins (`excluded.changed_ms`), so a wait for the row makes entries live a little longer than they should
 * and the own one end a little earlier: both are safe. `greatest` keeps a clock that is set back from reviving anything.
 * @see PostgreSQL manual, INSERT, ON CONFLICT Clause
 */
export function askStatement(store: Store, request: LockRequest, wait: boolean): Sql {
  const { name, holder, mode, ttlMs } = request
  const limit = Math.min(request.limit, LIMIT_MAX)
  const table = store.table('lock')
  const { nowMs } = store.dialect
  if (store.dialect.name === 'sqlite') {
    const entry = (token: Sql): Sql =>
      sql`json_object('h', ${holder}, 'm', ${mode}, 'l', ${limit}, 't', cast(${token} as text), 'u', now + ${ttlMs}, 'a', now)`
    return sql`insert into ${table} as l (name, token, queue, changed_ms)
      select ${name}, 1, json_array(${entry(sql.raw('1'))}), now from (select ${nowMs} as now) where true
      on conflict (name) do update set (token, queue, changed_ms) = (
        select l.token + added, case when added then json_insert(kept, '$[#]', ${entry(sql.raw('l.token + 1'))}) else kept end, now
        from (
          select now, coalesce(json_group_array(json(case when value ->> 'h' = ${holder}
              then json_set(value, '$.u', now + ${ttlMs}) else value end)) filter (where value is not null), '[]') as kept,
            coalesce(max(value ->> 'h' = ${holder}), 0) = 0 and case when ${wait ? 1 : 0} = 1 then count(value) < ${ENTRIES_MAX}
              else count(value) < ${limit} and coalesce(min(value ->> 'm' = ${mode}), 1) end as added
          from (select max(l.changed_ms, excluded.changed_ms) as now) left join json_each(l.queue) on value ->> 'u' > now
        )
      )
      returning cast(token as text) as token, queue, changed_ms`
  }
  const entry = (token: Sql): Sql =>
    sql`jsonb_build_array(jsonb_build_object('h', ${holder}::text, 'm', ${mode}::text, 'l', ${limit}::bigint, 't', (${token})::text, 'u', now + ${ttlMs}::bigint, 'a', now))`
  return sql`insert into ${table} as l (name, token, queue, changed_ms)
    select ${name}::text, 1, ${entry(sql.raw('1'))}, now from (select ${nowMs} as now) as clock
    on conflict (name) do update set (token, queue, changed_ms) = (
      select l.token + added::int, case when added then kept || ${entry(sql.raw('l.token + 1'))} else kept end, now
      from (
        select now, coalesce(jsonb_agg(case when value ->> 'h' = ${holder}
            then jsonb_set(value, '{u}', to_jsonb(now + ${ttlMs}::bigint)) else value end order by place) filter (where value is not null), '[]') as kept,
          not coalesce(bool_or(value ->> 'h' = ${holder}), false) and case when ${wait} then count(value) < ${ENTRIES_MAX}
            else count(value) < ${limit} and coalesce(bool_and(value ->> 'm' = ${mode}), true) end as added
        from (select greatest(l.changed_ms, excluded.changed_ms) as now) as clock
          left join lateral jsonb_array_elements(l.queue) with ordinality as e (value, place) on (value ->> 'u')::bigint > now
        group by now
      ) as looked
    )
    returning token::text, queue::text, changed_ms`
}

/**
 * Takes a lock whose queue is empty; no row when it is not, or when the name is new. A plain update of one row by its key:
 * the statement above costs the database three times as much, so it is for what is contended. A wait for the row ends with
 * another look at its newest version.
 */
export function takeStatement(store: Store, { name, holder, mode, limit, ttlMs }: LockRequest): Sql {
  const { nowMs } = store.dialect
  return sql`update ${store.table('lock')} set token = token + 1, changed_ms = greatest(changed_ms, ${nowMs}),
      queue = jsonb_build_array(jsonb_build_object('h', ${holder}::text, 'm', ${mode}::text,
        'l', ${Math.min(limit, LIMIT_MAX)}::bigint, 't', (token + 1)::text,
        'u', greatest(changed_ms, ${nowMs}) + ${ttlMs}::bigint, 'a', greatest(changed_ms, ${nowMs})))
    where name = ${name} and queue = '[]' returning token::text`
}

/** Releases a lock that nobody else holds or waits for; no row when there are others. */
export function giveStatement(store: Store, { name, holder }: Pick<LockRequest, 'name' | 'holder'>): Sql {
  return sql`update ${store.table('lock')} set queue = '[]'
    where name = ${name} and jsonb_array_length(queue) = 1 and queue -> 0 ->> 'h' = ${holder} returning 1 as released`
}

/** Keeps an entry that still runs for another `ttlMs`; changes nothing when it has ended. */
export function renewStatement(store: Store, { name, holder, ttlMs }: LockRequest): Sql {
  const table = store.table('lock')
  const { nowMs } = store.dialect
  if (store.dialect.name === 'sqlite') {
    return sql`update ${table} as l set queue = (
        select json_group_array(json(case when value ->> 'h' = ${holder} then json_set(value, '$.u', max(l.changed_ms, ${nowMs}) + ${ttlMs}) else value end))
        from json_each(l.queue))
      where name = ${name} and exists (select 1 from json_each(l.queue)
        where value ->> 'h' = ${holder} and value ->> 'u' > max(l.changed_ms, ${nowMs}))`
  }
  return sql`update ${table} as l set queue = (
      select jsonb_agg(case when value ->> 'h' = ${holder} then jsonb_set(value, '{u}', to_jsonb(greatest(l.changed_ms, ${nowMs}) + ${ttlMs}::bigint)) else value end order by place)
      from jsonb_array_elements(l.queue) with ordinality as e (value, place))
    where name = ${name} and exists (select 1 from jsonb_array_elements(l.queue) as e (value)
      where value ->> 'h' = ${holder} and (value ->> 'u')::bigint > greatest(l.changed_ms, ${nowMs}))`
}

/** Removes one entry and gives what is left of the queue; no row when the entry was not there. */
export function releaseStatement(store: Store, { name, holder }: Pick<LockRequest, 'name' | 'holder'>): Sql {
  return removeStatement(store, name, [holder])
}

/** Removes the entries of these holders. */
export function removeStatement(store: Store, name: string, holders: readonly string[]): Sql {
  const table = store.table('lock')
  const { dialect } = store
  const theirs = dialect.isOneOf(sql`value ->> 'h'`, 'text', holders)
  if (dialect.name === 'sqlite') {
    return sql`update ${table} as l set queue = (select coalesce(json_group_array(json(value)), '[]') from json_each(l.queue) where not (${theirs}))
      where name = ${name} and exists (select 1 from json_each(l.queue) where ${theirs})
      returning queue, changed_ms, 1 as running`
  }
  return sql`update ${table} as l set queue = (
      select coalesce(jsonb_agg(value order by place), '[]') from jsonb_array_elements(l.queue) with ordinality as e (value, place) where not (${theirs}))
    where name = ${name} and exists (select 1 from jsonb_array_elements(l.queue) as e (value) where ${theirs})
    returning queue::text, changed_ms`
}

/** Queues that are not empty, ascending by name, with the store's clock. */
export function readStatement(store: Store, where: Sql, limit: number): Sql {
  const { nowMs, name } = store.dialect
  const text = sql.raw(name === 'sqlite' ? 'queue' : 'queue::text as queue')
  return sql`select name, ${text}, ${nowMs} as now_ms from ${store.table('lock')}
    where ${where} and queue <> '[]' order by name limit ${limit}`
}
