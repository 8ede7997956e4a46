import { checkArguments } from '../core/options.ts'
import { isStore } from '../store/arguments.ts'
import { compileSql, sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'

/**
 * The guard as SQL, for teams and services that write SQL: statements to run once, by the role that migrates.
 *
 * PostgreSQL: the function `holdfast_present(resource, token, holder)`, which does what `fence` does and raises SQLSTATE
 * `HF001` for a stale token. SQLite, which has no functions of its own: the view `holdfast_present` with the same columns;
 * inserting into it is the call, and a stale token fails with the message `STALE_FENCE`. Both work in the open transaction.
 */
export function fenceSql(store: Store): string[] {
  checkArguments('fenceSql', isStore(store))
  const { dialect } = store
  const table = compileSql(store.table('fence'), dialect).text
  const name = compileSql(store.table('present'), dialect).text
  if (dialect.name === 'sqlite') {
    const trigger = compileSql(sql.ident(store.tableName('present_insert')), dialect).text
    return [
      `create view ${name} as select resource, token, holder from ${table}`,
      `create trigger ${trigger} instead of insert on ${name} begin
  select raise(abort, 'STALE_FENCE') where exists (
    select 1 from ${table} where resource = new.resource
      and (token > new.token or (token = new.token and holder <> new.holder)));
  insert into ${table} (resource, token, holder) values (new.resource, new.token, new.holder)
    on conflict (resource) do update set token = excluded.token, holder = excluded.holder;
end`,
    ]
  }
  return [
    `create function ${name}(the_resource text, the_token bigint, the_holder text) returns void language plpgsql as $$
begin
  -- One statement that checks, writes and locks: the row stays locked until COMMIT.
  insert into ${table} as present (resource, token, holder) values (the_resource, the_token, the_holder)
    on conflict (resource) do update set token = excluded.token, holder = excluded.holder
    where present.token < excluded.token or (present.token = excluded.token and present.holder = excluded.holder);
  if not found then
    raise exception 'fencing token % of "%" is stale', the_token, the_resource using errcode = 'HF001';
  end if;
end $$`,
  ]
}
