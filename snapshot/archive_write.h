/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Making an archive: content is read in the order of the plan, packed by several threads, written in
 * order again. The parts; image_export.c puts them together.
 */
#ifndef COW_SNAPSHOT_ARCHIVE_WRITE_H
#define COW_SNAPSHOT_ARCHIVE_WRITE_H

#include "archive_plan.h"
#include "common/cleanup.h"
#include "snapshot/archive.h"

/* ---- archive_pack.c */

/* A record as it is written. */
struct cow_arc_packed {
	uint8_t *bytes;
	size_t len;
};

/*
 * cow_arc_pack - @b: its slices and lengths; of records but DATA the length of @plain alone.
 * @level: of zstd, 1..19. Return: 0, the caller frees ret->bytes; -ENOMEM. Threads: any.
 */
int cow_arc_pack(enum cow_arc_type type, const struct cow_arc_block *b, const void *prefix,
		 const void *plain, int level, struct cow_arc_packed *ret);

/* ---- archive_out.c */

/* The file or pipe an archive is written to. */
struct cow_arc_out;
/*
 * cow_arc_out_open - @path: "-" is standard output, NULL the pipe @fd, borrowed. A file grows as @path.partial, which
 * is locked.
 * Return: 0; -EBUSY somebody writes it; -errno.
 */
int cow_arc_out_open(const char *path, int fd, struct cow_arc_out **ret, struct cow_err *err);
/*
 * cow_arc_out_begin - write the beginning, the two records with @head and @conf; or find that the partial file
 * begins so, and keep of it what is whole and as @plan says.
 * @ret_first: the first block that is still to be written.
 */
int cow_arc_out_begin(struct cow_arc_out *o, const char *head, const char *conf,
		      const struct cow_arc_plan *plan, size_t *ret_first, struct cow_err *err);
/* The same of an archive that has a btrfs stream; what is there is of no use. */
int cow_arc_out_begin_btrfs(struct cow_arc_out *o, const char *head, const char *conf,
			    struct cow_err *err);
int cow_arc_out_write(struct cow_arc_out *o, const void *bytes, size_t len, struct cow_err *err);
/* The end; all on disk; the name. */
int cow_arc_out_finish(struct cow_arc_out *o, struct cow_err *err);
/* @r: what it ended with. A partial file stays when an export could go on with it. NULL is fine. */
void cow_arc_out_close(struct cow_arc_out *o, int r);
uint64_t cow_arc_out_len(const struct cow_arc_out *o);

/* ---- archive_source.c */

/* Content of an image's files; what a file gives has its digest, or reading ends. */
struct cow_arc_source;
/* @unchecked: an object whose slices begin in the middle; its digest is not compared. */
int cow_arc_source_new(const struct cow_ovl_image *img, uint32_t unchecked,
		       struct cow_arc_source **ret);
void cow_arc_source_free(struct cow_arc_source *s); /* NULL is fine */
COW_DEFINE_AUTO(struct cow_arc_source, cow_arc_source_free)
#define cow_autoarcsource COW_CLEANUP(cow_auto_cow_arc_source_free) struct cow_arc_source *
/* @slices: in the order of a plan. Return: 0; -EBADMSG the image is damaged; -errno. */
int cow_arc_source_read(struct cow_arc_source *s, const struct cow_arc_slice *slices, size_t n,
			uint8_t *to, struct cow_err *err);
int cow_arc_source_end(struct cow_arc_source *s, struct cow_err *err);
/* Slices of a base in any order, not compared with a digest. */
int cow_arc_read_slices(const struct cow_ovl_image *base, const struct cow_arc_slice *slices,
			size_t n, uint8_t *to, struct cow_err *err);

/* ---- archive_crew.c */

/*
 * cow_arc_write_blocks - the blocks of @plan from @first on.
 * @progress: now and then, with the content that was written; may be NULL; < 0 ends it.
 */
struct cow_arc_write {
	const struct cow_ovl_image *img, *base;
	const struct cow_arc_plan *plan;
	int level;
	int (*progress)(void *ctx, uint64_t done, uint64_t total);
	void *ctx;
};
int cow_arc_write_blocks(const struct cow_arc_write *w, size_t first, struct cow_arc_out *out,
			 struct cow_err *err);

/* ---- archive_stream.c */

/*
 * cow_arc_write_stream - all that @fd gives, as STREAM records.
 * @progress: now and then, with the bytes that were read and @total, what they will be about; may be NULL; < 0 ends it.
 * @ret_plain: how many they were.
 */
struct cow_arc_stream {
	int fd, level;
	uint64_t total;
	int (*progress)(void *ctx, uint64_t done, uint64_t total);
	void *ctx;
};
int cow_arc_write_stream(const struct cow_arc_stream *s, struct cow_arc_out *out,
			 uint64_t *ret_plain, struct cow_err *err);

/* ---- image_export.c */

/* What an archive of a version says of itself. Give back with cow_arc_version_done() whatever comes. */
struct cow_arc_version {
	struct cow_ovl_image *img, *base; /* base: NULL: none */
	struct cow_archive_info info;
	char *head, *conf;
};
/* @btrfs: its tree is a stream. @ret: zeroed. Return: as cow_image_export(). */
int cow_arc_version_describe(struct cow_store *s, const struct cow_image *i,
			     const struct cow_image *since, bool btrfs, struct cow_arc_version *ret,
			     struct cow_err *err);
void cow_arc_version_done(struct cow_arc_version *v);

/* What an archive holds. @base: NULL: all of it; @head, @conf: text of the two records. */
struct cow_arc_content {
	const struct cow_ovl_image *img, *base;
	const char *head, *conf;
};
/* All of it, from the plan to the name. Return: as cow_image_export(). */
int cow_arc_export(const struct cow_arc_content *c, const struct cow_export_opts *opts,
		   struct cow_export_done *ret, struct cow_err *err);
int cow_arc_check_level(int level, struct cow_err *err);

#endif
