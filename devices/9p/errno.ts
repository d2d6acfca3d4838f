/** Error numbers that the server itself answers with: 9P2000.L carries Linux's (asm-generic/errno.h). */

/** What was asked for may not be done. */
export const EPERM = 1;
/** No such name. */
export const ENOENT = 2;
/** No such fid, or it is not open for this. */
export const EBADF = 9;
/** What is to be done would break something in use. */
export const EBUSY = 16;
/** The fid is in use already. */
export const EEXIST = 17;
/** It is not a directory. */
export const ENOTDIR = 20;
/** A value out of its range. */
export const EINVAL = 22;
/** Too many fids. */
export const ENFILE = 23;
/** Too many open files. */
export const EMFILE = 24;
/** There is no room for it. */
export const ENOSPC = 28;
/** Nothing can be changed. */
export const EROFS = 30;
/** A value or name of another size than can be. */
export const ERANGE = 34;
/** A name that is too long. */
export const ENAMETOOLONG = 36;
/** There is no such attribute. */
export const ENODATA = 61;
/** Not a message that is understood. */
export const EPROTO = 71;
/** The reply does not fit. */
export const EMSGSIZE = 90;
/** Not offered. */
export const EOPNOTSUPP = 95;
/** The file is not there any more. */
export const ESTALE = 116;
