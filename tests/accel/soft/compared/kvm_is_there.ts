/** For tests that compare with what KVM does. */

/** Can KVM be used here? If not, a line says that the comparison is left out. */
export function kvmIsThere(): boolean {
  try {
    Deno.openSync("/dev/kvm", { read: true, write: true }).close();
    return true;
  } catch {
    console.log("skipped: the comparison with the real processor needs /dev/kvm");
    return false;
  }
}
