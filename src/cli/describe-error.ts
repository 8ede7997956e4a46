import { type HoldfastError, isHoldfastError } from '../core/errors.ts'
import { CliError, usageError } from './cli-error.ts'
import { EXIT } from './command.ts'

export interface DescribedError {
  readonly exitCode: number
  readonly code: string
  /** What is known of the write. */
  readonly outcome: 'applied' | 'not-applied' | 'unknown'
  /** One sentence, without a trailing full stop. */
  readonly message: string
}

/** What did not answer was a server. */
const UNAVAILABLE = ['STORE_UNAVAILABLE', 'LOCK_ENGINE_UNAVAILABLE']

/** Nothing was searched: 1 would say that a race was found. */
const NOT_SEARCHED = ['RACE_CLONE_FAILED', 'RACE_MODULE_UNLOADABLE']

/** `pg` reads its address only when it connects. The text is not repeated: it may hold a password. */
const ADDRESS = usageError(
  'the postgres:// address cannot be read: escape special characters of the password with %',
)

/** What a command that threw says and ends with. Pure. */
export function describeError(error: unknown): DescribedError {
  if (error instanceof CliError) {
    const { exitCode, code } = error
    return { exitCode, code, outcome: 'not-applied', message: oneSentence(error.message) }
  }
  if (isHoldfastError(error)) {
    const { code, outcome, cause } = error
    if (code === 'STORE_UNAVAILABLE' && (cause as { code?: unknown } | undefined)?.code === 'ERR_INVALID_URL')
      return describeError(ADDRESS)
    const unreachable = [...UNAVAILABLE, ...NOT_SEARCHED].includes(code) || outcome === 'unknown'
    const exitCode = code === 'CONFIG_INVALID' ? EXIT.usage : unreachable ? EXIT.unreachable : EXIT.problem
    return {
      exitCode,
      code,
      outcome,
      message: oneSentence(`${error.message}${because(error)}${remedy(error)}`),
    }
  }
  const message = oneSentence(error instanceof Error ? error.message : String(error))
  return {
    exitCode: EXIT.problem,
    code: 'UNEXPECTED',
    outcome: 'unknown',
    message: `unexpected: ${message}; run it again with --verbose and report what it prints`,
  }
}

/** The driver says why a server cannot be reached (refused, unknown host, password); that is what helps. */
function because({ code: ours, cause }: HoldfastError): string {
  if (![...UNAVAILABLE, 'STATEMENT_FAILED'].includes(ours) || !(cause instanceof Error)) return ''
  const { code, message, errors } = cause as Error & { code?: string; errors?: unknown[] }
  // Node tries each address of a name; the errors of all of them differ in the address alone.
  const first = errors?.[0]
  const text = message === '' && first instanceof Error ? first.message : message
  return text === '' ? (code === undefined ? '' : ` (${code})`) : ` (${text})`
}

/** For the codes whose own text has no remedy that fits a command. */
function remedy({ code, message }: HoldfastError): string {
  if (code === 'LOCK_ENGINE_UNAVAILABLE' || /could not be reached|lost the connection/.test(message))
    return ': check the address, and that the server runs'
  if (message.includes('could not open the file')) return ': check the path, and the rights of its folder'
  if (code === 'STORE_BUSY') return ': run it again, and look for a process that holds a transaction open'
  return ''
}

function oneSentence(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, '; ').replace(/\.$/, '')
}
