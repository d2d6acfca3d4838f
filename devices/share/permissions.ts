/** Which of the permissions that a guest sets reach the host. */

import { S_IFDIR, S_IFMT } from "../../hv/core/media/file_tree.ts";

/** Of files: no set-user-ID, no set-group-ID. */
export const PERMISSIONS = 0o777;
/** Of directories also: only owners remove what is in it. */
export const DIRECTORY_PERMISSIONS = 0o1777;

/** All that there are. */
export const ALL_PERMISSIONS = 0o7777;
/** Set-user-ID and set-group-ID: only hv's user sets them, on the host. */
export const SET_IDS = 0o6000;

/**
 * What a file of `mode` is to have of `permissions`. What the host has set of a directory's set-IDs,
 * which say whose the files made in it are, stays.
 */
export function hostPermissions(permissions: number, mode: number): number {
  return (mode & S_IFMT) === S_IFDIR
    ? (permissions & DIRECTORY_PERMISSIONS) | (mode & SET_IDS)
    : permissions & PERMISSIONS;
}
