/** Random messages: whatever comes, each is answered within its bounds and nothing gets out. */

import assert from "node:assert/strict";
import { MessageType } from "../../../devices/9p/message.ts";
import { type Random, seeded } from "../../support/random.ts";
import {
  type Client,
  type Field,
  message,
  NinePError,
  str,
  u16,
  u32,
  u64,
  u8,
  withShare,
} from "./client.ts";
import { inFull } from "../../support/quick.ts";

const NAMES = ["a", "b", "c", "link", "up"];
const BAD_NAMES = ["..", ".", "", "a/b", "/etc", "x\0y", "y".repeat(300)];
const XATTRS = ["user.a", "user.b", ""];
const BAD_XATTRS = [
  "user.",
  "security.capability",
  "trusted.x",
  `user.${"y".repeat(300)}`,
  "user.a\0",
];
const TYPES = Object.values(MessageType);

/** How the fields of each request follow each other. */
const SHAPES: Partial<Record<number, string>> = {
  [MessageType.statfs]: "f",
  [MessageType.lopen]: "fo",
  [MessageType.lcreate]: "fnom4",
  [MessageType.symlink]: "fnn4",
  [MessageType.mknod]: "fnm444",
  [MessageType.rename]: "ffn",
  [MessageType.readlink]: "f",
  [MessageType.getattr]: "f8",
  [MessageType.setattr]: "fvm448t8t8",
  [MessageType.readdir]: "f8c",
  [MessageType.fsync]: "f4",
  [MessageType.lock]: "f14884n",
  [MessageType.getlock]: "f1884n",
  [MessageType.link]: "ffn",
  [MessageType.mkdir]: "fnm4",
  [MessageType.renameat]: "fnfn",
  [MessageType.unlinkat]: "fnr",
  [MessageType.attach]: "ffnn4",
  [MessageType.flush]: "2",
  [MessageType.walk]: "ffw",
  [MessageType.read]: "f8c",
  [MessageType.write]: "f8d",
  [MessageType.clunk]: "f",
  [MessageType.remove]: "f",
  [MessageType.xattrwalk]: "ffx",
  [MessageType.xattrcreate]: "fxs4",
};

const MODES = [0o644, 0o755, 0o6777, 0o010600, 0o100600, 0o140600, 0o020600, 0o060600];

const nameOf = (random: Random) => random.pick(random.chance(90) ? NAMES : BAD_NAMES);

function field(random: Random, kind: string): Field {
  const any = random.u32();
  switch (kind) {
    case "f":
      return u32(random.chance(95) ? random.below(12) : any);
    case "n":
      return str(nameOf(random));
    case "x":
      return str(random.chance(80) ? random.pick(XATTRS) : random.pick(BAD_XATTRS));
    case "s":
      return u64(random.chance(80) ? random.below(300) : BigInt(any) << 16n);
    case "w": {
      const count = random.chance(95) ? random.below(4) : random.below(40);
      const names = Array.from({ length: count }, () => str(nameOf(random)));
      return [...u16(random.chance(98) ? count : any), ...names.flat()];
    }
    case "d": {
      const data = Array.from({ length: random.below(300) }, () => random.below(256));
      return [...u32(random.chance(95) ? data.length : any), ...data];
    }
    case "o":
      return u32(random.pick([0, 1, 2, 3, 0o1002, 0o302, 0o2001, 0o4010002, any]));
    case "m":
      // Without the owner's rights the directory could not be removed in the end.
      return u32((random.chance(90) ? random.pick(MODES) : any) | 0o700);
    case "v":
      return u32(random.chance(80) ? random.pick([8, 0x30, 0x1b0]) : any & ~1);
    case "r":
      return u32(random.pick([0, 0x200, any]));
    case "c":
      return u32(random.chance(80) ? random.below(70_000) : any);
    case "t":
    case "8":
      return u64(random.chance(80) ? random.below(100_000) : BigInt(any) << 32n | BigInt(any));
    case "4":
      return u32(random.chance(50) ? random.below(5) : any);
    case "2":
      return u16(any);
    default:
      return u8(random.chance(90) ? random.below(4) : any);
  }
}

function randomMessage(random: Random): Uint8Array {
  const type = random.chance(95) ? random.pick(TYPES) : random.below(256);
  const fields = [...SHAPES[type] ?? "444"].map((kind) => field(random, kind));
  let bytes = message(type, random.below(65536), ...fields);
  if (random.chance(5)) bytes = bytes.slice(0, random.below(bytes.length + 1));
  if (random.chance(5) && bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256);
  return bytes;
}

/** The type of the reply. */
function checkReply(client: Client, request: Uint8Array, msize: number): number | undefined {
  const reply = client.raw(request);
  if (request.length < 7) {
    assert.equal(reply.length, 0);
    return undefined;
  }
  const view = new DataView(reply.buffer, reply.byteOffset, reply.length);
  assert.ok(reply.length >= 7 && reply.length <= msize, `${reply.length} bytes`);
  assert.equal(view.getUint32(0, true), reply.length);
  assert.deepEqual(reply.subarray(5, 7), request.subarray(5, 7), "the tag");
  assert.ok(reply[4] === 7 || reply[4] === request[4] + 1, `type ${reply[4]}`);
  return reply[4];
}

/** Something of each kind to work with; what is there from the round before may be anything. */
function restore(client: Client, outside: string): void {
  for (
    const make of [
      () => client.mkdir(0, "a"),
      () => client.symlink(0, "link", outside),
      () => client.symlink(0, "up", ".."),
      () => client.mknod(0, "b", 0o100600),
      () => client.walk(0, 1, "a"),
      () => client.walk(0, 2, "b"),
      () => client.walk(0, 3, "link"),
    ]
  ) {
    try {
      make();
    } catch (error) {
      if (!(error instanceof NinePError)) throw error;
    }
  }
}

Deno.test("random messages are answered within bounds, and never leave the share", () => {
  seeded((random) =>
    withShare(({ client, outside }) => {
      // Sizes that a file could be set to are large, holes only, and gone with the directory.
      const answered = new Set<number | undefined>();
      const bounds = { fids: 10, openFiles: 4 };
      for (let round = 0; round < inFull(1600, 200); round++) {
        client.version(8192);
        client.attach(0);
        restore(client, outside);
        for (let i = 0; i < 50; i++) {
          const request = randomMessage(random);
          // A new session would only lose the fids that make the others interesting.
          if (request[4] === MessageType.version) continue;
          answered.add(checkReply(client, request, 8192));
          const { fids, openFiles } = client.server.counts;
          assert.ok(fids <= bounds.fids && openFiles <= bounds.openFiles);
        }
      }
      // Else they would test the answer to nonsense only.
      const carriedOut = Object.keys(SHAPES).filter((type) => answered.has(Number(type) + 1));
      assert.ok(carriedOut.length >= 20, `types that were carried out: ${carriedOut}`);
      assert.deepEqual([...Deno.readDirSync(outside)].map(({ name }) => name), ["secret"]);
      assert.equal(Deno.readTextFileSync(`${outside}/secret`), "secret");
    }, { limits: { fids: 10, openFiles: 4 } })
  );
});
