/** What tests of networks send and serve. */

/** So many bytes, which differ from one another, with their checksum as `sha256sum` prints it. */
export async function testFile(
  bytes: number,
): Promise<{ data: Uint8Array<ArrayBuffer>; sha256: string }> {
  const data = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += 65_536) crypto.getRandomValues(data.subarray(at, at + 65_536));
  return { data, sha256: await sha256(data) };
}

/** A checksum as `sha256sum` prints it. */
export async function sha256(data: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", data)).toHex();
}

/** A server of the host's that gives `data`, whatever it is asked for. */
export function serve(data: Uint8Array<ArrayBuffer>, hostname: string) {
  const server = Deno.serve(
    { hostname, port: 0, onListen() {} },
    () => new Response(data),
  );
  return { port: server.addr.port, [Symbol.asyncDispose]: () => server.shutdown() };
}
