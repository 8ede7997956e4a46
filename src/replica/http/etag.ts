import { PayloadError } from '../../core/errors.ts'
import { checkArguments, isText, optionsOf } from '../../core/options.ts'
import { parseIfMatch } from '../../version/index.ts'

/** What a request says that it has seen of the record. */
export type Seen =
  | { readonly kind: 'absent' }
  /** `*`: whatever is there, but it must be there. */
  | { readonly kind: 'any' }
  | { readonly kind: 'context'; readonly context: string }

/** The entity tag of a record as it was read or written: its context, which only a replica can read. */
export function etagOf(read: { readonly context: string }): string {
  const { context } = optionsOf('etagOf', read)
  checkArguments('etagOf', isText('context', context))
  return `"${context}"`
}

/**
 * Reads `If-Match`, or another header of that form.
 * @throws PayloadError when it is not `*` or one strong entity tag
 */
export function readIfMatch(header: string | undefined): Seen {
  const condition = parseIfMatch(header)
  if (condition.kind !== 'tags') return condition
  const [tag, ...others] = condition.tags
  if (tag === undefined || tag.weak || others.length > 0) {
    throw new PayloadError('If-Match', [{ path: '$', message: 'must be one strong entity tag' }])
  }
  return { kind: 'context', context: tag.value }
}
