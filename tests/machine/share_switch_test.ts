/** A shared directory whose guest moves from one accelerator to the other with a file open. */

import assert from "node:assert/strict";
import { word } from "../../bios/assembler/assembler.ts";
import { Machine } from "../../hv/mod.ts";
import { MessageReader, MessageType, NOFID, NOTAG } from "../../devices/9p/message.ts";
import { message, str, u16, u32, u64 } from "../devices/9p/client.ts";
import { exitCode, kvmTest, type Payload, rom } from "../support/payload.ts";
import {
  DATA,
  exchange,
  initialise,
  interruptHandler,
  INTERRUPTS,
  VECTOR,
} from "../support/guest/virtio_program.ts";

/** Ends a test that hangs. */
const PATIENCE_MS = 120_000;
const SLOT = 3;
const ATTACHED_SLOT = 24;
const REQUEST = 0x1_5000;
const REPLY_BYTES = 256;
/** Set by the guest when it has the file open, and by the host when the guest is to read it. */
const IS_OPEN = 0x602;
const READ_IT = 0x604;

/** Sends a message and waits for its reply, at `DATA`. */
function ask(p: Payload, number: number, bytes: Uint8Array): void {
  for (const [i, byte] of bytes.entries()) p.poke(REQUEST + i, 1, byte);
  exchange(p, number, [
    { address: REQUEST, length: bytes.length },
    { address: DATA, length: REPLY_BYTES, write: true },
  ]);
}

for (const isAttached of [false, true]) {
  const slot = isAttached ? ATTACHED_SLOT : SLOT;
  const what = `${isAttached ? "an attached" : "a"} shared directory`;
  kvmTest(`a guest's open files of ${what} go with it to the other accelerator`, async () => {
    const directory = Deno.makeTempDirSync({ prefix: "hv-test-share-" });
    try {
      Deno.writeTextFileSync(`${directory}/text`, "still the same file");
      using image = rom((p) => {
        p.realMode();
        p.unreal();
        p.vector(VECTOR, "interrupt");
        for (const at of [INTERRUPTS, IS_OPEN, READ_IT]) p.mov(word(at), 0);
        initialise(p, slot);
        ask(p, 1, message(MessageType.version, NOTAG, u32(8192), str("9P2000.L")));
        ask(p, 2, message(MessageType.attach, 1, u32(0), u32(NOFID), str(""), str(""), u32(0)));
        ask(p, 3, message(MessageType.walk, 1, u32(0), u32(1), u16(1), str("text")));
        ask(p, 4, message(MessageType.lopen, 1, u32(1), u32(0)));
        p.inc(word(IS_OPEN));
        p.label("wait");
        p.alu("cmp", word(READ_IT), 0);
        p.jcc("z", "wait");
        ask(p, 5, message(MessageType.read, 9, u32(1), u64(0), u32(100)));
        p.exit(3);
        interruptHandler(p);
      });
      const share = { path: directory, tag: "src" };
      const machine = await Machine.create({
        accelerator: "kvm",
        memory: "2M",
        bios: image.path,
        share: isAttached ? [] : share,
      });
      {
        await using _ = machine;
        if (isAttached) await machine.attach({ share });
        await machine.resume();
        const limit = performance.now() + PATIENCE_MS;
        while (machine.readMemory(IS_OPEN, 1)![0] === 0) {
          assert.ok(performance.now() < limit, "the guest has not opened the file in time");
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
        // Nobody could open it anew.
        Deno.removeSync(`${directory}/text`);
        for (const accelerator of ["soft", "kvm", "soft"] as const) {
          await machine.switchAccelerator(accelerator);
        }
        machine.writeMemory(READ_IT, Uint8Array.of(1));
        assert.equal(await exitCode(machine, PATIENCE_MS), 7);
        const reply = machine.readMemory(DATA, REPLY_BYTES)!;
        assert.deepEqual([...reply.subarray(4, 7)], [MessageType.read + 1, 9, 0]);
        const fields = new MessageReader(reply);
        const data = fields.bytes(fields.u32());
        assert.equal(new TextDecoder().decode(data), "still the same file");
      }
      const left = [...Deno.readDirSync("/proc/self/fd")].filter(({ name }) => {
        try {
          return Deno.readLinkSync(`/proc/self/fd/${name}`).startsWith(directory);
        } catch {
          return false;
        }
      });
      assert.deepEqual(left, [], "all is closed with the machine");
    } finally {
      Deno.removeSync(directory, { recursive: true });
    }
  });
}
