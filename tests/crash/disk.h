/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Disks: image files that can be copied in an instant, and file systems on them. All in a mount
 * namespace of this process, on a tmpfs; however the process ends, nothing is left but an empty
 * directory at worst.
 */
#ifndef COW_TESTS_CRASH_DISK_H
#define COW_TESTS_CRASH_DISK_H

#include <stddef.h>

#define DISK_PATH 160

/*
 * disk_prepare - a private mount namespace with a tmpfs at @base, and in it `store`, a file system of
 * its own that can reflink: image files lie there.
 * Return: NULL, or why it cannot be.
 */
const char *disk_prepare(const char *base);
/* Name of an image file in the store. */
void disk_path(const char *name, char ret[DISK_PATH]);
/* Trouble ends the process in all of these. */
void disk_make(const char *name, const char *type);
void disk_mount(const char *name, const char *type, const char *point);
/* 0 or -errno: a disk that was cut may be beyond mounting. */
int disk_try_mount(const char *name, const char *type, const char *point);
void disk_unmount(const char *point);
/*
 * disk_clone - the other image as it is at one instant, also while its file system is mounted: what
 * has been written to the device by then and no more, as if power was cut.
 */
void disk_clone(const char *from, const char *to);
void disk_remove(const char *name);
/* What the file system's own checker says. 0 or its exit status; @log: its output. */
int disk_check(const char *name, const char *type, char *log, size_t len);
/* A mount of the kernel's overlay that ends with its fd. Return: fd or -errno. */
int disk_overlay(const char *lower, const char *upper, const char *work);
/* argv; Return: exit status. */
int disk_run(char *const argv[], char *log, size_t len);

#endif
