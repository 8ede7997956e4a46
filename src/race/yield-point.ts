import { checkArguments, isText } from '../core/options.ts'
import { currentTask } from './task.ts'

/**
 * A place where another task may go on, for shared state that is not in the database: a file, a cache, a variable. `what` is
 * what the report shows.
 *
 * Guarantee: outside of an exploration it does nothing but resolve.
 */
export async function yieldPoint(what: string): Promise<void> {
  checkArguments('yieldPoint', isText('what', what))
  await currentTask.getStore()?.ask({
    kind: 'yield',
    text: what,
    values: [],
    enabled: () => true,
    send: async () => {},
  })
}
