import { AfterCommitError } from './errors.ts'
import type { OwnScope } from './scope.ts'

/** Runs what waits for the commit, and reports all that failed. */
export async function runHooks(scope: OwnScope, result: unknown): Promise<void> {
  const errors: unknown[] = []
  for (const hook of scope.hooks) {
    try {
      await hook()
    } catch (error) {
      errors.push(error)
    }
  }
  if (errors.length > 0) throw new AfterCommitError(result, errors)
}
