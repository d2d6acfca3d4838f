import assert from "node:assert/strict";

import { closeShare, openShare, ShareError } from "../../../devices/share/open_share.ts";

Deno.test("a directory that cannot be shared: one line that says why", () => {
  const base = Deno.makeTempDirSync();
  try {
    Deno.writeTextFileSync(`${base}/file`, "");
    assert.throws(
      () => openShare({ path: `${base}/missing` }),
      new ShareError(`${base}/missing`, "there is no such directory; create it first"),
    );
    assert.throws(
      () => openShare({ path: `${base}/file` }),
      new ShareError(
        `${base}/file`,
        "it is not a directory; name the directory that the file is in",
      ),
    );
    // The user's own link is the user's wish.
    Deno.symlinkSync(".", `${base}/link`);
    closeShare(openShare({ path: `${base}/link`, readOnly: true }));
  } finally {
    Deno.removeSync(base, { recursive: true });
  }
});
