/** Addresses of the Internet as users write them (RFC 4291, 2.2). */

import assert from "node:assert/strict";
import { parseAddress } from "../../../hv/core/net/ip_address.ts";

const hex = (text: string) =>
  [...parseAddress(text) ?? []].map((byte) => byte.toString(16).padStart(2, "0")).join("");

Deno.test("addresses are read as users write them", () => {
  assert.equal(hex("127.0.0.1"), "7f000001");
  assert.equal(hex("::1"), "00000000000000000000000000000001");
  assert.equal(hex("[fd00::2]"), "fd000000000000000000000000000002");
  assert.equal(hex("::"), "0".repeat(32));
  assert.equal(hex("1:2:3:4:5:6:7:8"), "00010002000300040005000600070008");
  assert.equal(hex("::ffff:10.0.2.2"), "00000000000000000000ffff0a000202");
  assert.equal(hex("fe80::1%eth0"), "fe800000000000000000000000000001");
});

Deno.test("what is no address is none", () => {
  const wrong = ["", "1.2.3", "1.2.3.256", "a.b.c.d", "1:2", ":::", "1::2::3", "1:2:3:4:5:6:7:8:9"];
  for (const text of [...wrong, "12345::", "1:2:3:4:5:6:7::8", "1.2.3.4::"]) {
    assert.equal(parseAddress(text), undefined, text);
  }
});
