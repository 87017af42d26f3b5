/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Which numbers are the same objects in two versions. Versions that two stores made apart of one version have
 * its lineage and give the same new numbers to different objects; when one is carried to the other store, only
 * what both inherit from that version counts. Who inherits from whom is known of versions that are here: where
 * one between them is gone, nothing counts.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fs.h"
#include "rebase_internal.h"

struct versions {
	struct cow_ovl_image_info *list;
	size_t n;
};

static const struct cow_ovl_image_info *find(const struct versions *v,
					     const uint8_t uuid[COW_OVM_UUID_LEN])
{
	for (size_t k = 0; k < v->n; k++)
		if (memcmp(v->list[k].uuid, uuid, COW_OVM_UUID_LEN) == 0)
			return &v->list[k];
	return NULL;
}

/* All versions of the image; one that cannot be read is none. */
static int collect(struct cow_rebase *rb, const char *image, struct versions *v)
{
	cow_autofree unsigned *list = NULL;
	char number[16];
	size_t n = 0;
	cow_autoclose int images = cow_opendir_at(rb->s->fd, "images");
	cow_autoclose int dir = images < 0 ? images : cow_opendir_at(images, image);
	int r = dir < 0 ? dir : cow_image_versions(dir, &list, &n);
	if (r < 0)
		return r;
	struct cow_ovl_image_info *grown = reallocarray(v->list, v->n + n + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	v->list = grown;
	for (size_t k = 0; k < n; k++) {
		(void)snprintf(number, sizeof(number), "%u", list[k]);
		cow_autoclose int version = cow_opendir_at(dir, number);
		if (version >= 0 && cow_ovl_image_peek(version, &v->list[v->n], NULL) == 0)
			v->n++;
	}
	return 0;
}

static bool is_ancestor(const struct versions *v, const struct cow_ovl_image_info *of,
			const struct cow_ovl_image_info *who)
{
	for (size_t steps = 0; of && steps <= v->n; steps++, of = find(v, of->parent))
		if (memcmp(of->uuid, who->uuid, COW_OVM_UUID_LEN) == 0)
			return true;
	return false;
}

int cow_rebase_common(struct cow_rebase *rb, const char *image1, const char *image2)
{
	struct cow_ovl_image_info one, two;
	struct versions v = {NULL, 0};
	cow_ovl_image_info(rb->v1, &one);
	cow_ovl_image_info(rb->v2, &two);
	rb->common = 0;
	if (memcmp(one.lineage, two.lineage, sizeof(one.lineage)) != 0)
		return 0;
	int r = collect(rb, image1, &v);
	if (r == 0 && strcmp(image1, image2) != 0)
		r = collect(rb, image2, &v);
	const struct cow_ovl_image_info *a = &two;
	for (size_t steps = 0; r == 0 && a && steps <= v.n; steps++, a = find(&v, a->parent))
		if (is_ancestor(&v, &one, a)) {
			rb->common = a->next_number;
			break;
		}
	free(v.list);
	return r;
}
