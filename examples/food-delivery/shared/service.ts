import type { Handlers, Routes } from './http.ts'

/** A service as its process runs it. */
export interface Service {
  readonly routes: Routes
  readonly handlers?: Handlers
  /** What it has to do still, beside the messages that wait for it. */
  inHand(): Promise<number>
  stop(): Promise<void>
}
