/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * From the bytes of image.ovm to a loaded image: header, section table, checksums, id. The bytes are
 * read into memory of their own and made read-only, so a failing disk or a changed file is no signal
 * later. Nothing is allocated but the file's size and what cow_image_check() needs.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/checked.h"
#include "common/fs.h"
#include "image_internal.h"
#include "record.h"

#define HUGE_FROM (4u << 20) /* below it a huge page would be for nothing */

static int damaged(struct cow_err *err, const char *part)
{
	return cow_err_say(err, COW_ERR_FAILED, -EBADMSG, "the manifest is damaged: %s", part);
}

static bool all_zero(const uint8_t *p, size_t len)
{
	uint8_t any = 0;
	for (size_t k = 0; k < len; k++)
		any |= p[k];
	return any == 0;
}

int cow_image_header(const struct cow_ovm_header *h, struct cow_ovl_image_info *ret,
		     struct cow_err *err)
{
	if (memcmp(h->magic, COW_OVM_MAGIC, sizeof(h->magic)) != 0)
		return damaged(err, "it does not begin like one");
	if (cow_get_le64(h->sum) != cow_ovm_header_sum(h))
		return damaged(err, "checksum of the header");
	uint32_t flags = cow_get_le32(h->flags);
	if (cow_get_le32(h->version) != COW_OVM_VERSION ||
	    flags & COW_OVM_MUST_KNOW & ~(uint32_t)COW_OVM_KNOWN_FLAGS)
		return cow_err_say(err, COW_ERR_REFUSED, -EOPNOTSUPP,
				   "the manifest was made by a newer version");
	struct cow_ovl_image_info info = {
	    .inodes = cow_get_le64(h->inodes),
	    .bytes = cow_get_le64(h->bytes),
	    .next_number = cow_get_le32(h->next_number),
	};
	if (info.next_number <= COW_MAN_ROOT || info.next_number > COW_OVM_NUMBERS_MAX ||
	    info.inodes == 0 || info.inodes >= info.next_number)
		return damaged(err, "numbers in the header");
	if (!all_zero(h->zeros1, sizeof(h->zeros1)) || !all_zero(h->zeros2, sizeof(h->zeros2)))
		return damaged(err, "reserved bytes of the header");
	memcpy(info.uuid, h->uuid, sizeof(info.uuid));
	memcpy(info.parent, h->parent, sizeof(info.parent));
	memcpy(info.lineage, h->lineage, sizeof(info.lineage));
	*ret = info;
	return 0;
}

/* Header and section table: the sections fill a file of @len bytes behind the header, in order. */
static int read_head(struct cow_ovl_image *img, const struct cow_ovm_header *h, uint64_t len,
		     struct cow_err *err)
{
	int r = cow_image_header(h, &img->info, err);
	if (r < 0)
		return r;
	uint64_t at = sizeof(*h);
	if (len < at || len > COW_OVM_FILE_MAX || len > SIZE_MAX)
		return damaged(err, "its size does not fit its header");
	for (unsigned k = 0; k < COW_OVM_NSECTIONS; k++) {
		uint64_t n = cow_get_le64(h->section[k].length);
		if (cow_get_le64(h->section[k].offset) != at || n > len - at ||
		    n % cow_ovm_record_len[k] != 0 || n / cow_ovm_record_len[k] > UINT32_MAX)
			return damaged(err, "section table");
		img->count[k] = (size_t)n / cow_ovm_record_len[k];
		at += n;
	}
	if (at != len || img->count[COW_OVM_INODES] != img->info.next_number)
		return damaged(err, "its size does not fit its header");
	return 0;
}

static const void *section_start(const struct cow_ovl_image *img, enum cow_ovm_section which)
{
	return img->bytes + (size_t)cow_get_le64(img->head->section[which].offset);
}

static int section_sums(const struct cow_ovl_image *img, struct cow_err *err)
{
	for (unsigned k = 0; k < COW_OVM_NSECTIONS; k++) {
		const struct cow_ovm_span *s = &img->head->section[k];
		uint64_t sum = XXH64(section_start(img, k), (size_t)cow_get_le64(s->length), 0);
		if (sum != cow_get_le64(s->xxh64))
			return cow_err_say(err, COW_ERR_FAILED, -EBADMSG,
					   "the manifest is damaged: checksum of section %s",
					   cow_ovm_section_name[k]);
	}
	return 0;
}

/* img->bytes is filled: make sense of it. */
static int adopt_bytes(struct cow_ovl_image *img, struct cow_err *err)
{
	img->head = (const struct cow_ovm_header *)img->bytes;
	int r = read_head(img, img->head, img->len, err);
	if (r == 0)
		r = section_sums(img, err);
	if (r < 0)
		return r;
	img->inodes = section_start(img, COW_OVM_INODES);
	img->dirents = section_start(img, COW_OVM_DIRENTS);
	img->xsets = section_start(img, COW_OVM_XSETS);
	img->xattrs = section_start(img, COW_OVM_XATTRS);
	img->digests = section_start(img, COW_OVM_DIGESTS);
	img->hlinks = section_start(img, COW_OVM_HLINKS);
	img->strings = section_start(img, COW_OVM_STRINGS);
	img->values = section_start(img, COW_OVM_VALUES);
	r = cow_image_check(img, err);
	if (r < 0)
		return r;
	if (EVP_Digest(img->bytes, img->len, img->info.id, NULL, EVP_sha256(), NULL) != 1)
		return cow_err_set(err, -ENOMEM, "compute the id of the manifest");
	return 0;
}

static int room(struct cow_ovl_image *img, size_t len, struct cow_err *err)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return cow_err_set(err, cow_nerr(), "memory for a manifest of %zu bytes", len);
	if (len >= HUGE_FROM)
		(void)madvise(p, len, MADV_HUGEPAGE); /* fewer faults and misses, where possible */
	img->bytes = p;
	img->len = len;
	return 0;
}

static int seal(struct cow_ovl_image *img, struct cow_err *err)
{
	if (mprotect(img->bytes, img->len, PROT_READ) < 0)
		return cow_err_set(err, cow_nerr(), "protect the manifest in memory");
	return adopt_bytes(img, err);
}

int cow_ovm_load(struct cow_ovl_image *img, int fd, struct cow_err *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return cow_err_set(err, cow_nerr(), "examine the manifest");
	struct cow_ovm_header h = {0};
	ssize_t got = cow_pread_full(fd, &h, sizeof(h), 0);
	if (got < 0)
		return cow_err_set(err, (int)got, "read the manifest");
	if (got < (ssize_t)sizeof(h))
		return damaged(err, "it is shorter than its header");
	/* Before memory is spent on it. */
	int r = read_head(img, &h, (uint64_t)st.st_size, err);
	if (r == 0)
		r = room(img, (size_t)st.st_size, err);
	if (r < 0)
		return r;
	got = cow_pread_full(fd, img->bytes, img->len, 0);
	if (got < 0)
		return cow_err_set(err, (int)got, "read the manifest");
	if ((size_t)got != img->len)
		return damaged(err, "it became shorter while it was read");
	return seal(img, err);
}

int cow_image_load_bytes(struct cow_ovl_image *img, const void *bytes, size_t len,
			 struct cow_err *err)
{
	if (len < sizeof(*img->head))
		return damaged(err, "it is shorter than its header");
	int r = room(img, len, err);
	if (r < 0)
		return r;
	memcpy(img->bytes, bytes, len);
	return seal(img, err);
}

void cow_image_unload(struct cow_ovl_image *img)
{
	if (img->bytes)
		(void)munmap(img->bytes, img->len); /* fails only for a range that is not ours */
	if (img->filefd >= 0)
		(void)close(img->filefd); /* only read from */
	if (img->rootfd >= 0)
		(void)close(img->rootfd);
	img->bytes = NULL;
	img->filefd = img->rootfd = -1;
}

int cow_image_open_file(int dirfd, struct cow_err *err)
{
	struct stat st;
	cow_autoclose int fd =
	    openat(dirfd, COW_OVM_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return cow_err_set(err, cow_nerr(), "open the manifest '%s'", COW_OVM_NAME);
	if (fstat(fd, &st) < 0)
		return cow_err_set(err, cow_nerr(), "examine the manifest");
	if (!S_ISREG(st.st_mode))
		return damaged(err, "it is not a regular file");
	return cow_steal_fd(&fd);
}

int cow_image_open_tree(int dirfd, struct cow_err *err)
{
	int fd = cow_opendir_at(dirfd, COW_IMAGE_TREE);
	return fd < 0 ? cow_err_set(err, fd, "open the image's data root '%s'", COW_IMAGE_TREE)
		      : fd;
}
