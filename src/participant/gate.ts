import { StaleEpochError } from '../effects/index.ts'
import { type Sql, type Store, sql, type Transaction } from '../store/index.ts'
import { nameOf, type StepCall, type StepPhase } from './step.ts'

/** A gate's time is written anew when it is older than this, so that it is not removed while its saga still comes. */
const REFRESH_MS = 3_600_000

/** Rows of the effect table: `<step>/<phase>`, where the phase has no `/`; the gate has the empty phase. */
export function keyOf(step: string, phase: StepPhase): string {
  return `${step}/${phase}`
}

/**
 * Passes the gate of the saga and inserts `rows` of the step where they are missing; gives the phases that were.
 *
 * One statement for all. The gate is the row with phase '' and goes first: it is inserted, or updated where its epoch is
 * not newer, which locks it until COMMIT. So the calls of one saga pass one after the other, and an attempt that waits
 * here for its successor is then refused, since PostgreSQL looks at WHERE again on the newest version of the row. At
 * stricter levels such a row fails with 40001 and the transaction runs again. A row of the step that is there already is
 * left alone, by the same WHERE, and is not among what is returned. All calls of a saga lock the gate first, so no two of
 * them can wait in a circle. The update changes no indexed column, so it adds no entry to any index.
 *
 * (A WITH of two inserts says the same and takes PostgreSQL twice the time.)
 * @throws StaleEpochError when the gate has seen a newer epoch; what was inserted is taken out again
 */
export async function passGate(
  tx: Transaction,
  scope: string,
  call: StepCall,
  rows: readonly { readonly phase: StepPhase; readonly result: string | null }[],
): Promise<Set<StepPhase>> {
  const { step } = call
  const found = await tx.query<{ phase: string }>(gateStatement(tx.store, scope, call, rows))
  const phases = found.map((row) => row.phase)
  const inserted = new Set(
    rows.map((row) => row.phase).filter((phase) => phases.includes(keyOf(step, phase))),
  )
  if (!phases.includes('')) {
    await forgetRows(tx, scope, call, inserted)
    await refuse(tx, scope, call)
  }
  return inserted
}

/** The call of a forward step, which is the most frequent, is one template, so that its text is put together once. */
function gateStatement(
  { table, dialect: { nowMs } }: Store,
  scope: string,
  { saga, step, epoch }: StepCall,
  rows: readonly { readonly phase: StepPhase; readonly result: string | null }[],
): Sql {
  const effect = table('effect')
  const keyed = rows.map(({ phase, result }) => ({ key: keyOf(step, phase), result }))
  const [only] = keyed
  if (keyed.length === 1 && only !== undefined)
    return sql`insert into ${effect} ${COLUMNS} (${scope}, ${saga}, '', ${epoch}, null, ${nowMs}),
      (${scope}, ${saga}, ${only.key}, ${epoch}, ${only.result}, ${nowMs}) ${UNLESS_THERE}`
  const steps = keyed.map(
    ({ key, result }) => sql`, (${scope}, ${saga}, ${key}, ${epoch}, ${result}, ${nowMs})`,
  )
  return sql`insert into ${effect} ${COLUMNS} (${scope}, ${saga}, '', ${epoch}, null, ${nowMs})${sql.join(steps, '')} ${UNLESS_THERE}`
}

const COLUMNS = sql.raw('as present (scope, id, phase, epoch, result, recorded_at_ms) values')

const UNLESS_THERE = sql.raw(
  `on conflict (scope, id, phase) do update set epoch = excluded.epoch,
    recorded_at_ms = case when present.recorded_at_ms < excluded.recorded_at_ms - ${REFRESH_MS}
      then excluded.recorded_at_ms else present.recorded_at_ms end
    where present.phase = '' and present.epoch <= excluded.epoch
    returning phase`,
)

/** Takes out what this transaction has inserted, for a caller that catches the error and goes on. */
export async function forgetRows(
  tx: Transaction,
  scope: string,
  { saga, step }: StepCall,
  phases: ReadonlySet<StepPhase>,
): Promise<void> {
  if (phases.size === 0) return
  const { dialect } = tx.store
  const keys = [...phases].map((phase) => keyOf(step, phase))
  await tx.execute(
    sql`delete from ${tx.store.table('effect')} where scope = ${scope} and id = ${saga}
      and ${dialect.isOneOf(sql.ident('phase'), 'text', keys)}`,
  )
}

/** What is stored of the step under these phases, for a caller that holds the gate. */
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

async function refuse(tx: Transaction, scope: string, call: StepCall): Promise<never> {
  const [gate] = await tx.query<{ epoch: string | number | bigint }>(
    sql`select epoch from ${tx.store.table('effect')} where scope = ${scope} and id = ${call.saga} and phase = ''`,
  )
  throw new StaleEpochError(nameOf(call), {
    presented: call.epoch,
    current: gate === undefined ? undefined : BigInt(gate.epoch),
  })
}
