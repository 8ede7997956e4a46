/** What a race file may do to the process of the command, and must not decide its exit code by. */
import { tame } from '../../core/thrown.ts'
import { CliError } from '../cli-error.ts'
import { EXIT, flag, type Given } from '../command.ts'
import { describeError } from '../describe-error.ts'
import { framesOf } from '../frames.ts'
import { tellError } from '../tell-error.ts'

type Exit = (code?: number | string | null) => never
let exit: Exit = process.exit

/** Ends the process as the command, not as the user's code. */
export function exitAsCommand(code: number): never {
  over = true
  return exit(code)
}

let over = true

/**
 * Runs `work`, during which the process is the command's: `process.exit` by the file or a task, an exception that nobody
 * handles, or an event loop that has nothing left to do end it with 2 and a sentence. 1 says that a race was found, and 0 that
 * none was.
 */
export async function inOwnProcess<T>(given: Given, work: () => Promise<T>): Promise<T> {
  const end = (error: unknown): never => exitAsCommand(tellEnd(error, given))
  const onExit = (): void => {
    if (over) return
    over = true
    const message =
      'the process would have ended before the search: the file awaits at its top level what nothing will give'
    process.exitCode = tellEnd(new CliError('RACE_ENDED', EXIT.unreachable, message), given)
  }
  exit = process.exit
  over = false
  process.exit = ((code: unknown) => {
    const frames = framesOf(new Error('process.exit'))
    const message = `process.exit(${code ?? ''}) was called before the search was over, by the file of the race or by a task`
    return end(new CliError('RACE_ENDED', EXIT.unreachable, message, { frames }))
  }) as Exit
  process.on('exit', onExit)
  process.on('uncaughtException', end)
  try {
    return await work()
  } catch (error) {
    throw asNotExplored(tame(error))
  } finally {
    over = true
    process.exit = exit
    process.off('exit', onExit)
    process.off('uncaughtException', end)
  }
}

/** Ends the command with the error, from code that never gives the event loop back. */
export function endCommand(error: unknown, given: Given): never {
  return exitAsCommand(tellEnd(error, given))
}

function tellEnd(error: unknown, given: Given): number {
  return tellError(asNotExplored(tame(error)), {
    io: given.io,
    json: flag(given, 'json'),
    verbose: flag(given, 'verbose'),
  })
}

/** Whatever ended the search: 1 would say that a race was found. */
function asNotExplored(cause: unknown): unknown {
  const { exitCode, code, message } = describeError(cause)
  if (exitCode !== EXIT.problem) return cause
  return new CliError(code, EXIT.unreachable, message, { cause, frames: framesOf(cause) })
}
