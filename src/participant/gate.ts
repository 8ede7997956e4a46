import { StaleEpochError } from '../effects/index.ts'
import { type Sql, sql, type Transaction } from '../store/index.ts'
import { nameOf, type StepCall, type StepPhase } from './step.ts'

/** A gate's time is written anew when it is older than this, so that it is not removed while its saga still comes. */
const REFRESH_MS = 3_600_000

const COLUMNS = ['scope', 'id', 'phase', 'epoch', 'result', 'recorded_at_ms']

/** Rows of the effect table: `<step>/<phase>`, where the phase has no `/`; the gate has the empty phase. */
export function keyOf(step: string, phase: StepPhase): string {
  return `${step}/${phase}`
}

/**
 * Passes the gate of the saga and inserts `rows` of the step where they are missing; gives the phases that were.
 *
 * The gate is the row with phase ''. It is inserted, or updated where its epoch is not newer, which locks it until
 * COMMIT: the calls of one saga pass one after the other, and an attempt that waits here for its successor is then
 * refused, since PostgreSQL looks at WHERE again on the newest version of the row. At stricter levels such a row fails
 * with 40001 and the transaction runs again. All calls of a saga lock the gate first, so no two of them can wait in a
 * circle. The update changes no indexed column, so it adds no entry to any index.
 *
 * With `writableCte` both are one statement: the rows come FROM the gate, so nothing is inserted when it is shut.
 * @throws StaleEpochError when the gate has seen a newer epoch
 */
export async function passGate(
  tx: Transaction,
  scope: string,
  call: StepCall,
  rows: readonly { readonly phase: StepPhase; readonly result: string | null }[],
): Promise<Set<StepPhase>> {
  const { dialect } = tx.store
  const gate = gateStatement(tx, scope, call)
  let phases: readonly string[]
  if (dialect.writableCte) {
    const insert = insertRows(tx, scope, call, rows, sql` from gate`)
    const found = await tx.query<{ phase: string }>(
      sql`with gate as (${gate} returning epoch), recorded as (${insert}) select '' as phase from gate union all select phase from recorded`,
    )
    if (found.length === 0) await refuse(tx, scope, call)
    phases = found.map((row) => row.phase)
  } else {
    if ((await tx.execute(gate)) === 0) await refuse(tx, scope, call)
    const found = await tx.query<{ phase: string }>(insertRows(tx, scope, call, rows, sql``))
    phases = found.map((row) => row.phase)
  }
  return new Set(rows.map((row) => row.phase).filter((phase) => phases.includes(keyOf(call.step, phase))))
}

/** The rows of the step, whatever their phase; those of `besides` are left out. */
export async function findRows(
  tx: Transaction,
  scope: string,
  { saga, step }: StepCall,
  phases: readonly StepPhase[],
): Promise<Map<StepPhase, string | null>> {
  const keys = phases.map((phase) => keyOf(step, phase))
  const rows = await tx.query<{ phase: string; result: string | null }>(
    sql`select phase, result from ${tx.store.table('effect')} where scope = ${scope} and id = ${saga}
      and ${tx.store.dialect.isOneOf(sql.ident('phase'), 'text', keys)}`,
  )
  return new Map(rows.map((row) => [phases[keys.indexOf(row.phase)] as StepPhase, row.result] as const))
}

function gateStatement(tx: Transaction, scope: string, { saga, epoch }: StepCall): Sql {
  const { dialect } = tx.store
  return sql`insert into ${tx.store.table('effect')} as present (scope, id, phase, epoch, recorded_at_ms)
    values (${scope}, ${saga}, '', ${epoch}, ${dialect.nowMs})
    on conflict (scope, id, phase) do update set epoch = excluded.epoch,
      recorded_at_ms = case when present.recorded_at_ms < excluded.recorded_at_ms - ${sql.raw(`${REFRESH_MS}`)}
        then excluded.recorded_at_ms else present.recorded_at_ms end
    where present.epoch <= excluded.epoch`
}

function insertRows(
  tx: Transaction,
  scope: string,
  { saga, step, epoch }: StepCall,
  rows: readonly { readonly phase: StepPhase; readonly result: string | null }[],
  from: Sql,
): Sql {
  const { dialect, table } = tx.store
  const [only] = rows
  const options = { onConflict: 'ignore', returning: ['phase'] } as const
  if (rows.length === 1 && only !== undefined) {
    const select = sql`select ${scope}, ${saga}, ${keyOf(step, only.phase)}, ${epoch}, ${only.result}, ${dialect.nowMs}${from} where 1 = 1`
    return dialect.insertSelect(table('effect'), COLUMNS, select, options)
  }
  const wanted = dialect.rowsAs(
    'wanted',
    [
      { name: 'phase', type: 'text' },
      { name: 'result', type: 'text' },
    ],
    rows.map(({ phase, result }) => [keyOf(step, phase), result]),
  )
  const source = from.parts.length === 0 ? sql` from ${wanted}` : sql`${from}, ${wanted}`
  const select = sql`select ${scope}, ${saga}, wanted.phase, ${epoch}, wanted.result, ${dialect.nowMs}${source} where 1 = 1`
  return dialect.insertSelect(table('effect'), COLUMNS, select, options)
}

async function refuse(tx: Transaction, scope: string, call: StepCall): Promise<never> {
  const [gate] = await tx.query<{ epoch: string | number | bigint }>(
    sql`select epoch from ${tx.store.table('effect')} where scope = ${scope} and id = ${call.saga} and phase = ''`,
  )
  throw new StaleEpochError(nameOf(call), {
    presented: call.epoch,
    current: gate === undefined ? undefined : BigInt(gate.epoch),
  })
}
