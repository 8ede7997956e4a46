import { PayloadError } from '../core/errors.ts'
import { type Check, checkArguments, show } from '../core/options.ts'
import type { Version } from './version.ts'

/** The condition that a request puts on the row's version. */
export type IfMatch =
  | { readonly kind: 'absent' }
  /** `*`: any version, but the row must exist. */
  | { readonly kind: 'any' }
  | { readonly kind: 'tags'; readonly tags: readonly { readonly value: string; readonly weak: boolean }[] }

/** The entity tag of a version: `"42"`; of a timestamp, its text with everything but plain characters escaped. */
export function toEtag(version: Version): string {
  checkArguments('toEtag', isVersion(version))
  return `"${tagOf(version)}"`
}

/**
 * Reads an `If-Match` header (If-None-Match has the same form).
 * @throws PayloadError when it is neither `*` nor a list of entity tags
 * @see RFC 9110, 8.8.3 and 13.1.1
 */
export function parseIfMatch(header: string | undefined): IfMatch {
  if (header !== undefined && header !== null && typeof header !== 'string')
    throw new PayloadError('If-Match', [{ path: '$', message: `must be one text, got ${show(header)}` }])
  const text = header?.trim()
  if (text === undefined || text === '') return { kind: 'absent' }
  if (text === '*') return { kind: 'any' }
  const tags: { value: string; weak: boolean }[] = []
  // Empty members (",,") are allowed in a list; a comma inside the quotes belongs to the tag.
  const member = /[\s,]*(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*(?:,[\s,]*|$)/y
  while (member.lastIndex < text.length) {
    const at = member.lastIndex
    const match = member.exec(text)
    if (match === null) {
      throw new PayloadError('If-Match', [
        { path: '$', message: `not a list of entity tags at character ${at + 1}` },
      ])
    }
    tags.push({ value: match[2] as string, weak: match[1] !== undefined })
  }
  return { kind: 'tags', tags }
}

/**
 * Whether the row's version fulfils the condition; `version` is undefined when there is no row. An absent condition is
 * fulfilled: demand one yourself (status 428).
 *
 * The comparison is the strong one that `If-Match` asks for: a weak tag matches nothing.
 */
export function fulfilsIfMatch(condition: IfMatch, version: Version | undefined): boolean {
  checkArguments(
    'fulfilsIfMatch',
    ['absent', 'any', 'tags'].includes(condition?.kind) ||
      `condition must be what parseIfMatch gives, got ${show(condition)}`,
    version === undefined || isVersion(version),
  )
  switch (condition.kind) {
    case 'absent':
      return true
    case 'any':
      return version !== undefined
    case 'tags':
      return (
        version !== undefined && condition.tags.some(({ value, weak }) => !weak && value === tagOf(version))
      )
  }
}

function isVersion(version: unknown): Check {
  return (
    typeof version === 'bigint' ||
    typeof version === 'string' ||
    `version must be what readVersioned gives, got ${show(version)}`
  )
}

function tagOf(version: Version): string {
  return typeof version === 'bigint' ? version.toString() : encodeURIComponent(version)
}
