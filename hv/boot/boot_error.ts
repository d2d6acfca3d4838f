/** A kernel, initrd or command line that cannot be booted: the message is one line for the user. */
export class BootError extends Error {
  /** Always this. */
  override readonly name = "BootError";

  /**
   * Makes the error; its message is `Cannot boot <kernelName>: <reason>`.
   *
   * @param kernelName What the user calls the kernel, usually its file name.
   * @param reason What is wrong and what to do, without a full stop.
   */
  constructor(kernelName: string, reason: string, options?: ErrorOptions) {
    super(`Cannot boot ${kernelName}: ${reason}`, options);
  }
}
