/** Addresses of the Internet as users write them. */

/**
 * The 4 or 16 bytes of an IPv4 or IPv6 address, which may be in brackets; undefined for what is none.
 * Zones (`%eth0`) are left out of account.
 *
 * Reference: RFC 4291, 2.2.
 */
export function parseAddress(text: string): Uint8Array | undefined {
  if (!text.includes(":")) return parseIpv4(text);
  const groups = text.replace(/^\[(.*)\]$/, "$1").replace(/%.*$/, "");
  const halves = groups.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half, i) =>
    half === "" ? [] : parseGroups(half.split(":"), i === halves.length - 1)
  );
  if (head === undefined || (halves.length === 2 && tail === undefined)) return undefined;
  const missing = 16 - head.length - (tail?.length ?? 0);
  if (tail === undefined ? missing !== 0 : missing < 2) return undefined;
  return Uint8Array.from([...head, ...new Array(missing).fill(0), ...(tail ?? [])]);
}

function parseIpv4(text: string): Uint8Array | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  const bytes = match?.slice(1).map(Number);
  return bytes?.every((byte) => byte < 256) ? Uint8Array.from(bytes) : undefined;
}

/** Bytes of groups of 16 bits; the last of an address may be an IPv4 address. */
function parseGroups(groups: readonly string[], isLast: boolean): number[] | undefined {
  const bytes: number[] = [];
  for (const [i, group] of groups.entries()) {
    const ipv4 = isLast && i === groups.length - 1 ? parseIpv4(group) : undefined;
    if (ipv4 !== undefined) bytes.push(...ipv4);
    else if (/^[0-9a-f]{1,4}$/i.test(group)) {
      const value = parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    } else return undefined;
  }
  return bytes;
}
