import { checkArguments, checkOptions, isDuration, isFunction, isObject, isUrl } from '../../core/options.ts'
import { type ConformanceCheck, conformanceChecks } from './checks.ts'
import { ConformanceClient } from './client.ts'

export interface CheckResult {
  readonly name: string
  readonly passed: boolean
  /** What was wanted and what came; absent when it passed. */
  readonly problem?: string
}

/**
 * Examines the participant at `url` from outside: each check with a saga and an account of its own, so that a service may
 * be examined again and again. The service offers `POST <url>/step` and `GET <url>/accounts/<id>` as
 * docs/reference/participants.md says.
 *
 * Bounds: each request `timeoutMs`, default 10 000. Rejects for options that cannot work, and for nothing else.
 @throws ConfigError
 */
export async function checkParticipant(
  url: string,
  options: { readonly timeoutMs?: number; readonly onResult?: (result: CheckResult) => void } = {},
): Promise<CheckResult[]> {
  checkArguments('checkParticipant', isUrl('url', url), isObject('options', options))
  checkOptions(
    'checkParticipant',
    options,
    ['timeoutMs', 'onResult'],
    [
      options.timeoutMs === undefined || isDuration('timeoutMs', options.timeoutMs),
      options.onResult === undefined || isFunction('onResult', options.onResult),
    ],
  )
  const results: CheckResult[] = []
  for (const check of conformanceChecks) {
    const result = await runCheck(check, url, options)
    options.onResult?.(result)
    results.push(result)
  }
  return results
}

async function runCheck(
  { name, run }: ConformanceCheck,
  url: string,
  { timeoutMs = 10_000 }: { readonly timeoutMs?: number },
): Promise<CheckResult> {
  try {
    await run(new ConformanceClient(url, timeoutMs))
    return { name, passed: true }
  } catch (error) {
    const { message, cause } = error as Error
    const why = cause instanceof Error && cause.message !== '' ? ` (${cause.message})` : ''
    return { name, passed: false, problem: `${message}${why}` }
  }
}
