/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Inside of images, for snapshot/ only.
 *
 *	images/NAME/lock		one version being made at a time
 *	images/NAME/last		the highest number ever given, so that none comes twice
 *	images/NAME/.import-HEX/	being filled; invisible, swept when no import holds the lock
 *	images/NAME/.new-HEX/		an edit's root being made; made and swept with STORE/lock held
 *	images/NAME/edit/		a root to work in, see edit.c
 *	images/NAME/VERSION/		image.conf, image.ovm, tree/
 */
#ifndef COW_SNAPSHOT_IMAGE_INTERNAL_H
#define COW_SNAPSHOT_IMAGE_INTERNAL_H

#include "common/kv.h"
#include "snapshot/image.h"
#include "store_internal.h"

#define COW_IMPORT_PREFIX ".import-"
#define COW_EDIT_NAME "edit"
#define COW_EDIT_NEW_PREFIX ".new-"

/* Open images/NAME. -> fd or -errno */
int cow_image_dir(struct cow_store *s, const char *name);

/* Read the record of one version below images/NAME (@dir). */
int cow_image_record(int dir, const char *name, unsigned version, struct cow_image **ret,
		     struct cow_kv **ret_kv, struct cow_err *err);

/* Would a record be read? 0; -EBADMSG says of what. */
int cow_image_conf_check(const struct cow_kv *conf, struct cow_err *err);

/* An id as records have it. */
void cow_image_id_text(const uint8_t id[COW_OVM_ID_LEN], char ret[COW_IMAGE_ID_LEN + 1]);

/* Open images/NAME/VERSION: what overlay roots are made from. -> fd or -errno */
int cow_image_version(struct cow_store *s, const struct cow_image *i);

/* Open the tree of a version: what btrfs roots are made from. -> fd or -errno */
int cow_image_tree(struct cow_store *s, const struct cow_image *i);

/* Can roots of this kind be made from it? 0; -EOPNOTSUPP says what to do. */
int cow_image_check_backend(struct cow_store *s, const struct cow_image *i, enum cow_backend b,
			    struct cow_err *err);

/* Manifest of the newest version below images/NAME that has one. *ret NULL: there is none; a damaged
 * one is -EBADMSG. */
int cow_image_newest_manifest(int dir, struct cow_ovl_image **ret, unsigned *ret_version,
			      struct cow_err *err);

/* All versions below images/NAME, ascending. The caller frees. */
int cow_image_versions(int dir, unsigned **ret, size_t *ret_n);

/* Highest published version below images/NAME; 0: none. */
int cow_image_newest(int dir, unsigned *ret);

/* Version the edit below images/NAME stands on; 0: there is none. */
int cow_edit_version(int dir, unsigned *ret, struct cow_err *err);

/* Remove what killed imports and edits left below images/NAME. Caller holds STORE/lock and
 * images/NAME/lock. */
int cow_image_sweep_dir(int dir);

/* Remove images/NAME when it holds nothing that counts. Caller holds STORE/lock and the image's. */
void cow_image_drop_if_unused(struct cow_store *s, int dir, const char *name);

/* What the tree says about itself. Strings are owned by the caller; "" where unknown. */
struct cow_detected {
	const char *arch;      /* static text */
	const char *initramfs; /* static text */
	const char *boot_dir;  /* static text */
	char *os;
};
int cow_detect(int tree, struct cow_detected *ret);

/* Does etc/fstab mount something at @where? */
int cow_detect_in_fstab(int tree, const char *where);

/* What of the system in a tree is known not to work on a network root, in words: the @n-th; NULL: no more. */
const char *cow_detect_trouble(int tree, unsigned n);

/* What an initramfs made in the tree can mount: "cowherd", "klibc" or "none". */
const char *cow_detect_initramfs(int tree);

/*
 * cow_detect_boards - which machines can boot from a tree, and what others lack, as lines of the record.
 * @arch, @boot_dir, @initramfs: as found before. @found: "lacks" with "WORD: what it lacks" for each kind of machine that cannot, then "boards" with the
 * words of those that can (snapshot/boards.h); a negative value stops. Raspberry Pis are no question for other processors.
 * Return: 0; -errno, of @found or of reading the tree.
 */
int cow_detect_boards(int tree, const char *boot_dir, const char *arch, const char *initramfs,
		      int (*found)(void *ctx, const char *key, const char *value), void *ctx);

/* A value for a record from text of any kind: control bytes become '?', outer blanks go. */
char *cow_conf_text(const char *s);

#endif
