/** The fields in a header of ours; none where the message was not written by an adapter of ours. Never throws. */
export function parseEnvelope<Fields extends object>(header: unknown): Partial<Fields> {
  try {
    return Object(JSON.parse(String(header))) as Partial<Fields>
  } catch {
    return {}
  }
}
