/** The layout that hv/accel/kvm declares, and a C program that prints the compiler's. */

import * as ioctls from "../../../hv/accel/kvm/api/ioctl.ts";
import * as page from "../../../hv/accel/kvm/api/run_page.ts";
import * as structs from "../../../hv/accel/kvm/api/structs.ts";
import type { RecordType } from "../../../hv/core/state/record.ts";

/** Everything that depends on <linux/kvm.h>, by name. */
export type Layout = Record<string, number>;

const isRecord = (value: unknown): value is RecordType =>
  typeof value === "function" && "layout" in value;

/** C's path of a field that the record has flattened. */
function memberPath(struct: string, field: string): string {
  if (struct === "kvm_vcpu_events") {
    const group = /^(exception|interrupt|nmi|smi|triple_fault)_/.exec(field)?.[1];
    const plain = field === "exception_has_payload" || field === "exception_payload";
    if (group !== undefined && !plain) return `${group}.${field.slice(group.length + 1)}`;
  }
  if (struct === "kvm_guest_debug" && field === "debugreg") return "arch.debugreg";
  return field;
}

/** C's path of a field of kvm_run: the members of its union have their name first. */
function runPath(field: string): string {
  const path = field
    .replace(/^emulation_/, "emulation_failure.")
    .replace(/^debug_/, "debug.arch.")
    .replace(/^hardware_exit/, "hw.hardware_exit")
    .replace(/^hardware_entry/, "fail_entry.hardware_entry")
    .replace(/^system_event_/, "system_event.")
    .replace(/^sync_/, "s.regs.");
  return path.replace(/^(io|mmio|internal)_/, "$1.");
}

/** What is compared: a name for it, the C expression, and hv's value. */
const fields: { key: string; expression: string; value: number }[] = [];
const add = (key: string, expression: string, value: number) =>
  fields.push({ key, expression, value });

for (const [name, type] of Object.entries(structs)) {
  if (!isRecord(type)) {
    add(name, name, type as number);
    continue;
  }
  add(name, `sizeof(struct ${name})`, type.byteLength);
  for (const { name: field, offset, size } of type.layout) {
    const path = memberPath(name, field);
    add(`${name}.${field}`, `offsetof(struct ${name}, ${path})`, offset);
    add(`${name}.${field} size`, `sizeof(((struct ${name}*)0)->${path})`, size);
  }
}
for (const [name, value] of Object.entries(page)) {
  if (typeof value === "number") add(name, name, value);
}
for (const [field, offset] of Object.entries(page.RUN)) {
  add(`kvm_run.${field}`, `offsetof(struct kvm_run, ${runPath(field)})`, offset);
}
for (const [name, value] of Object.entries(ioctls)) {
  if (name.startsWith("KVM_") && typeof value === "object" && "request" in value) {
    add(name, name, value.request);
  }
}
for (const [name, value] of Object.entries(ioctls.Cap)) add(name, name, value);

/** As hv declares it. */
export function declaredLayout(): Layout {
  return Object.fromEntries(fields.map(({ key, value }) => [key, value]));
}

/** A C program that prints the layout as JSON. */
export function layoutProgram(): string {
  const lines = fields.map(({ key, expression }, i) =>
    `  printf("  \\"${key}\\": %llu${i + 1 < fields.length ? "," : ""}\\n", ` +
    `(unsigned long long)(${expression}));`
  );
  return [
    "#include <stddef.h>",
    "#include <stdio.h>",
    "#include <linux/kvm.h>",
    "int main(void) {",
    '  printf("{\\n");',
    ...lines,
    '  printf("}\\n");',
    "  return 0;",
    "}",
    "",
  ].join("\n");
}
