/** News of the screen, for a thread that looks while another one, the guest's, draws. */

import assert from "node:assert/strict";
import { ScreenWatch } from "../../../devices/display/screen_watch.ts";
import { VgaBench } from "../../support/vga_bench.ts";

/** A value that somebody looks at the screen before each of its bytes is written. */
const withLook = (value: number, look: () => void) =>
  ({
    valueOf() {
      look();
      return value;
    },
  }) as unknown as number;

Deno.test("a screen that is looked at in the middle of a write has changed again behind it", () => {
  const b = new VgaBench().mode(3);
  b.unmap();
  const watch = new ScreenWatch(b.vga);
  const writes: Record<string, (look: () => void) => void> = {
    "a character": (look) => b.write(0xb8000, 2, withLook(0x0741, look)),
    "the start address's low byte": (look) => b.vga.write(0x24, 2, withLook(0x500d, look)),
  };
  for (const [what, write] of Object.entries(writes)) {
    watch.changed();
    assert.equal(watch.changed(), false, `${what}: nothing has been drawn`);
    let looks = 0;
    write(() => {
      looks++;
      watch.changed();
    });
    assert.ok(looks > 0);
    assert.equal(watch.changed(), true, `${what}: whoever waits would never see it`);
  }
});
