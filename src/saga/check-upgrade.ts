import { silentLog } from '../core/log.ts'
import { checkArguments } from '../core/options.ts'
import { isStore } from '../store/arguments.ts'
import { sql } from '../store/sql.ts'
import type { Store } from '../store/store.ts'
import { Branch } from './branch.ts'
import { type DueRow, readEntries, toSagaRow } from './claim.ts'
import { SagaChangedError } from './errors.ts'
import { execute } from './execute.ts'
import { Journal } from './journal.ts'
import { SagaRun } from './run.ts'
import type { AnySaga } from './runner-options.ts'
import { decodeValue } from './value.ts'

export interface UpgradeProblem {
  readonly id: string
  readonly name: string
  readonly problem: string
}

export interface UpgradeReport {
  readonly checked: number
  readonly problems: readonly UpgradeProblem[]
}

const BATCH = 200

/**
 * Replays the history of every saga that has not ended against the given code, and says what no longer fits. Nothing is
 * run and nothing is written: a call that the journal does not answer is where a replay ends.
 */
export async function checkUpgrade(store: Store, sagas: readonly AnySaga[]): Promise<UpgradeReport> {
  checkArguments(
    'checkUpgrade',
    isStore(store),
    (Array.isArray(sagas) && sagas.every((saga) => typeof saga?.code === 'function')) ||
      'sagas must be an array of what saga() gave',
  )
  const known = new Map(sagas.map((saga) => [saga.name, saga]))
  const problems: UpgradeProblem[] = []
  let checked = 0
  let after = ''
  for (;;) {
    const rows = await store.read<DueRow>(
      sql`select id, name, partition, state, held, cancel, admitted, priority, started_at_ms, deadline_at_ms, parent_id, flow_key, input
        from ${store.table('saga')} where ended_at_ms is null and id > ${after} order by id limit ${BATCH}`,
    )
    if (rows.length === 0) return { checked, problems }
    after = (rows.at(-1) as DueRow).id
    const entries = await store.transaction(
      (tx) =>
        readEntries(
          tx,
          rows.map((row) => row.id),
        ),
      { readOnly: true },
    )
    for (const row of rows) {
      checked += 1
      const definition = known.get(row.name)
      const problem =
        definition === undefined
          ? `the module has no saga "${row.name}"`
          : await replay(store, definition, row, entries.get(row.id) ?? [])
      if (problem !== undefined) problems.push({ id: row.id, name: row.name, problem })
    }
  }
}

async function replay(
  store: Store,
  definition: AnySaga,
  row: DueRow,
  entries: ConstructorParameters<typeof SagaRun>[2]['entries'],
): Promise<string | undefined> {
  const run = new SagaRun(
    toSagaRow(row),
    {
      store,
      journal: new Journal(store, () => false, { inFlightMax: 1, batchMax: 1, log: silentLog }),
      guard: { partition: row.partition, epoch: 0n },
      log: silentLog,
      parkAfterMs: 0,
      abandonMs: 0,
      alwaysReplay: false,
      dry: true,
      nowMs: () => Number.MAX_SAFE_INTEGER,
      onOver: () => {},
      onIdle: () => {},
      besideEnd: () => undefined,
    },
    { entries, signals: [], claimed: true },
  )
  const root = Branch.root(run, { lastMs: Number(row.started_at_ms) })
  void execute(run, root, async () => definition.code(root as never, decodeValue(row.input)))
  // All that the journal answers is answered within microtasks, and what follows a turn of the loop within a few.
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
  if (run.changed !== undefined) return run.changed.message
  const left = run.history.unanswered()
  if (left === undefined) return undefined
  return new SagaChangedError(run.id, 'the end of the code', `${left.kind} "${left.step}"`, 'no such call')
    .message
}
