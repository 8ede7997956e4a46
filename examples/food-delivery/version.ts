import type { Mechanism } from './holdfast/without.ts'
import type { SagaMechanism } from './saga/without.ts'

/** One way in which the services are written, and the mechanism that it goes without. */
export type Version =
  | { readonly name: 'naive' }
  | { readonly name: 'holdfast'; readonly without: Mechanism | undefined }
  | { readonly name: 'saga'; readonly without: SagaMechanism | undefined }
