/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Archives of images. The first byte says what the others are: 'R' an archive; 'M' a manifest, which is packed as
 * a good archive would; 'S' the frame of a btrfs stream, 'Z' what is packed as one, both in pieces whose length the next
 * byte says; else records of content behind a good beginning, each as
 *	nown nfrom | nown + nfrom times: number, offset u16, length u8 | content comes from the last bytes
 * whose sums and packing are made right here, since no fuzzer gets past them. The base has the same files.
 * Whatever the bytes are: nothing is made or changed beside the tree, and a tree that is made is what its manifest says. A
 * stream comes out as it went in.
 */
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include "archive_receive.h"
#include "archive_write.h"
#include "common/checked.h"
#include "common/fs.h"
#include "common/kv.h"
#include "image_internal.h"
#include "scratch.h"

#define UNPACKED_MAX (4u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int ok)
{
	if (!ok)
		__builtin_trap();
}

static char root[FUZZ_SCRATCH_MAX]; /* made once: what the base is, and the place to work in */
static struct cow_ovl_image *img;

static void put(int dir, const char *name, const char *text)
{
	must(cow_write_file_at(dir, name, text, strlen(text), 0600) == 0);
}

static void clean_up(void)
{
	cow_ovl_image_close(img);
	char *slash = strrchr(root, '/');
	*slash = 0;
	cow_autoclose int parent = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)cow_rm_rf_at(parent, slash + 1, 0);
}

static void set_up(void)
{
	must(fuzz_scratch(root) == 0);
	cow_autoclose int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(cow_mkdir_at(dir, "base", 0700) == 0);
	cow_autoclose int base = cow_opendir_at(dir, "base");
	must(cow_mkdir_at(base, "tree", 0755) == 0);
	cow_autoclose int tree = cow_opendir_at(base, "tree");
	put(tree, "a", "some content, some content");
	put(tree, "b", "other content");
	must(symlinkat("/etc", tree, "link") == 0 && linkat(tree, "b", tree, "hard", 0) == 0);
	must(cow_mkdir_at(tree, "d", 0755) == 0);
	cow_autoclose int sub = cow_opendir_at(tree, "d");
	put(sub, "c", "deep");
	must(cow_ovl_image_build(base, NULL, NULL, NULL) == 0);
	must(cow_ovl_image_open(base, &img, NULL) == 0);
	(void)atexit(clean_up);
}

/* ---------------------------------------------------------------- making an archive of the bytes */

struct bytes {
	uint8_t *p;
	size_t len, at;
};

static void append(struct bytes *b, const void *p, size_t len)
{
	b->p = realloc(b->p, b->len + len + 1);
	must(b->p != NULL);
	memcpy(b->p + b->len, p, len);
	b->len += len;
}

static void append_record(struct bytes *to, enum cow_arc_type type, const struct cow_arc_block *b,
			  const void *prefix, const void *plain)
{
	struct cow_arc_packed p;
	must(cow_arc_pack(type, b, prefix, plain, 1, &p) == 0);
	append(to, p.bytes, p.len);
	free(p.bytes);
}

static void append_text(struct bytes *to, enum cow_arc_type type, const char *text, size_t len)
{
	append_record(to, type, &(struct cow_arc_block){.plain_len = (uint32_t)len}, NULL, text);
}

/* Everything up to the manifest, which is @manifest. */
static void begin(struct bytes *to, const void *manifest, size_t len, bool btrfs)
{
	const struct cow_arc_file file = {.magic = COW_ARC_MAGIC,
					  .version = {COW_ARC_VERSION},
					  .flags = {btrfs ? COW_ARC_BTRFS : 0}};
	static const char conf[] = "boot_dir = boot\n";
	struct cow_archive_info about = {
	    .name = "deb", .version = 3, .base_name = "deb", .base_version = 2, .manifest_len = len, .btrfs = btrfs};
	struct cow_ovl_image_info info;
	uint8_t id[COW_OVM_ID_LEN];
	cow_ovl_image_info(img, &info);
	cow_image_id_text(info.id, about.base);
	must(EVP_Digest(manifest, len, id, NULL, EVP_sha256(), NULL) == 1);
	cow_image_id_text(id, about.id);
	cow_autofree char *head = cow_arc_head_format(&about);
	must(head != NULL);
	append(to, &file, sizeof(file));
	append_text(to, COW_ARC_HEAD, head, strlen(head));
	append_text(to, COW_ARC_CONF, conf, sizeof(conf) - 1);
	struct cow_arc_slice all = {.length = (uint32_t)len};
	append_record(to, COW_ARC_DATA,
		      &(struct cow_arc_block){.own = &all, .nown = 1, .plain_len = (uint32_t)len},
		      NULL, manifest);
}

static void finish(struct bytes *to)
{
	uint8_t sum[COW_ARC_SHA256_LEN];
	must(EVP_Digest(to->p, to->len, sum, NULL, EVP_sha256(), NULL) == 1);
	append_record(to, COW_ARC_END, &(struct cow_arc_block){.plain_len = sizeof(sum)}, NULL, sum);
}

static int in_base(const struct cow_arc_slice *s)
{
	struct cow_ovl_image_object o = {.digest = NULL};
	size_t size;
	(void)cow_ovl_image_bytes(img, &size);
	if (s->number && (!cow_ovl_image_object(img, s->number, &o) || !o.digest))
		return 0;
	return s->offset + s->length <= (s->number ? o.attr.size : size);
}

/* What the slices of the base give, where it has them; else zeros. */
static void fill_prefix(const struct cow_arc_block *b, uint8_t *prefix)
{
	memset(prefix, 0, b->prefix_len);
	for (size_t k = 0, at = 0; k < b->nfrom; at += b->from[k++].length)
		if (in_base(&b->from[k]))
			must(cow_arc_read_slices(img, &b->from[k], 1, prefix + at, NULL) == 0);
}

static void one_record(struct bytes *to, const uint8_t **p, const uint8_t *end)
{
	struct cow_arc_slice s[16];
	uint8_t plain[16 * 255], prefix[16 * 255];
	struct cow_arc_block b = {.own = s};
	b.nown = 1 + (*(*p)++ & 7);
	b.nfrom = *p < end ? *(*p)++ & 7 : 0;
	b.from = s + b.nown;
	for (size_t k = 0; k < b.nown + b.nfrom; k++, *p += 4) {
		if (end - *p < 4) {
			*p = end;
			return;
		}
		s[k] = (struct cow_arc_slice){
		    .number = (*p)[0],
		    .offset = (uint64_t)((*p)[1] | (*p)[2] << 8),
		    .length = (*p)[3] ? (*p)[3] : 1,
		};
		*(k < b.nown ? &b.plain_len : &b.prefix_len) += s[k].length;
	}
	for (size_t k = 0; k < b.plain_len; k++)
		plain[k] = end[-(ptrdiff_t)(k % 64) - 1];
	fill_prefix(&b, prefix);
	append_record(to, COW_ARC_DATA, &b, prefix, plain);
}

static void append_pieces(struct bytes *to, const uint8_t *p, size_t size, size_t piece)
{
	for (size_t at = 0; at < size; at += piece) {
		struct cow_arc_record h = {.zeros = {0}};
		size_t len = size - at < piece ? size - at : piece;
		cow_put_le32(h.type, COW_ARC_STREAM);
		cow_put_le32(h.packed_len, (uint32_t)len);
		cow_put_le64(h.sum, XXH64(p + at, len, 0));
		cow_put_le64(h.head_sum, XXH64(&h, offsetof(struct cow_arc_record, head_sum), 0));
		append(to, &h, sizeof(h));
		append(to, p + at, len);
	}
}

/* @plain: not packed yet. */
static void append_stream(struct bytes *to, const uint8_t *data, size_t size, bool plain)
{
	size_t piece = 1 + data[0] * 3u;
	if (!plain) {
		append_pieces(to, data + 1, size - 1, piece);
		return;
	}
	size_t room = ZSTD_compressBound(size);
	cow_autofree uint8_t *packed = malloc(room);
	must(packed != NULL);
	size_t len = ZSTD_compress(packed, room, data + 1, size - 1, 1);
	must(!ZSTD_isError(len));
	append_pieces(to, packed, len, piece);
}

static void make(struct bytes *to, const uint8_t *data, size_t size)
{
	size_t len;
	const void *manifest = cow_ovl_image_bytes(img, &len);
	const uint8_t *p = data + 1, *end = data + size;
	if (*data == 'R') {
		append(to, p, size - 1);
		return;
	}
	if (*data == 'M' && size > 1) {
		begin(to, p, size - 1, false);
		finish(to);
		return;
	}
	if ((*data == 'S' || *data == 'Z') && size > 1) {
		begin(to, manifest, len, true);
		append_stream(to, p, size - 1, *data == 'Z');
		finish(to);
		return;
	}
	begin(to, manifest, len, false);
	while (size > 65 && p < end - 64)
		one_record(to, &p, end);
	finish(to);
}

/* ---------------------------------------------------------------- receiving it */

static int read_bytes(void *ctx, void *buf, size_t len, size_t *ret_got)
{
	struct bytes *b = ctx;
	*ret_got = len < b->len - b->at ? len : b->len - b->at;
	if (*ret_got)
		memcpy(buf, b->p + b->at, *ret_got);
	b->at += *ret_got;
	return 0;
}

static int accept(void *ctx, const struct cow_archive_info *info, struct cow_ovl_image **ret_base,
		  struct cow_err *err)
{
	(void)err;
	(void)ctx;
	*ret_base = *info->base ? cow_ovl_image_get(img) : NULL;
	return 0;
}

static int enough(void *ctx, const struct cow_import_progress *p)
{
	(void)ctx;
	return p->bytes > UNPACKED_MAX || p->inodes > 2000 ? -EINTR : 0;
}

/* What came out of a stream; the receiver's context. */
struct streamed {
	bool begun, ended;
	struct bytes out;
};

static int stream_begin(void *ctx, const struct cow_ovl_image *image, struct cow_err *err)
{
	struct streamed *s = ctx;
	(void)err;
	must(!s->begun && image);
	s->begun = true;
	return 0;
}

static int stream_take(void *ctx, const void *p, size_t len, struct cow_err *err)
{
	struct streamed *s = ctx;
	must(s->begun && !s->ended && len);
	if (s->out.len + len > UNPACKED_MAX)
		return cow_err_set(err, -EFBIG, "enough");
	append(&s->out, p, len);
	return 0;
}

static int stream_end(void *ctx, struct cow_err *err)
{
	struct streamed *s = ctx;
	(void)err;
	must(s->begun && !s->ended);
	s->ended = true;
	return 0;
}

static const struct cow_arc_sink sink = {stream_begin, stream_take, stream_end};

/* Only what is whole ends well, and what was packed here is. */
static void check_stream(const struct streamed *s, int r, const uint8_t *data, size_t size)
{
	must(r == 0 ? s->ended : !s->ended || *data == 'R');
	if (*data == 'Z' && size > 1)
		must(r == 0 && s->out.len == size - 2 &&
		     (size == 2 || memcmp(s->out.p, data + 2, size - 2) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cow_err err = COW_ERR_INIT;
	struct streamed streamed = {.begun = false};
	struct bytes b = {.p = NULL};
	const struct cow_import_opts opts = {.progress = enough};
	char buf[8] = "";
	if (!img)
		set_up();
	if (size == 0)
		return 0;
	make(&b, data, size);
	cow_autoclose int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(cow_mkdir_at(dir, "stage", 0700) == 0);
	cow_autoclose int stage = cow_opendir_at(dir, "stage");
	must(cow_mkdir_at(stage, "tree", 0700) == 0);
	put(stage, "outside", "intact");
	struct cow_fill fill = {.tree = cow_opendir_at(stage, "tree"), .opts = &opts};
	struct cow_arc_receive rx = {
	    .fill = &fill, .stage = stage, .what = "input", .accept = accept, .sink = &sink, .ctx = &streamed};
	int r = cow_arc_receive(&rx, read_bytes, &b, &err);
	must(r == 0 || (err.code != COW_OK && *cow_err_str(&err)));
	if (streamed.begun)
		check_stream(&streamed, r, data, size);
	else if (r == 0)
		must(cow_ovl_image_verify(stage, NULL, NULL, NULL, NULL, &err) == 0);
	cow_kv_free(rx.conf);
	cow_fill_done(&fill);
	(void)close(fill.tree);
	free(b.p);
	free(streamed.out.p);
	cow_autoclose int fd = openat(stage, "outside", O_RDONLY | O_CLOEXEC);
	must(read(fd, buf, 7) == 6 && strcmp(buf, "intact") == 0);
	must(unlinkat(stage, "outside", 0) == 0);
	(void)unlinkat(stage, COW_OVM_NAME, 0); /* there when the manifest came whole */
	must(cow_rm_rf_at(stage, "tree", 0) == 0);
	must(unlinkat(dir, "stage", AT_REMOVEDIR) == 0); /* and nothing else was there */
	return 0;
}
