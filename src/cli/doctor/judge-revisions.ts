import { type Loss, printLoss, type Revision } from '../revisions.ts'
import { type Finding, note, ok, problem } from './finding.ts'

/** Pure. Tables of a part that the application does not use may be missing, as long as some part is there. */
export function judgeRevisions(revisions: readonly Revision[]): Finding[] {
  if (revisions.every((r) => r.state === 'missing')) {
    return [
      problem(
        'schema',
        "Holdfast's tables are missing",
        'run "holdfast migrate", and check --schema and --prefix',
      ),
    ]
  }
  return revisions.map(judge)
}

/** Pure. */
export function judgeLosses(losses: readonly Loss[]): Finding[] {
  return losses.map((loss) =>
    problem(
      `tables-${loss.capability}`,
      printLoss(loss),
      `restore them from a backup; or drop what is left of "${loss.capability}", delete its row in the table of revisions, and run "holdfast migrate" if you use it`,
    ),
  )
}

function judge({ capability, found, needed, state }: Revision): Finding {
  const check = `schema-${capability}`
  const seen = `${capability}: revision ${found} of ${needed}`
  switch (state) {
    case 'current':
      return ok(check, seen)
    case 'missing':
      return note(
        check,
        `${capability}: no tables`,
        'fine if no part that you use needs them; else run "holdfast migrate"',
      )
    case 'older':
      return problem(
        check,
        seen,
        'this version needs the newer tables: run "holdfast migrate" before you deploy it',
      )
    case 'newer':
      return note(check, seen, 'a newer version migrated them and this one can still work with them')
    case 'unreadable':
      return problem(
        check,
        seen,
        'a newer version migrated them and this one cannot read them: update holdfast here',
      )
  }
}
