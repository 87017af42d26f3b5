/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A version as an OCI image layout (opencontainers/image-spec, image-layout.md) with one layer. The directory
 * grows under another name and is renamed when all of it is on disk (I2).
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fs.h"
#include "oci_layer.h"
#include "snapshot/archive.h"

#define TYPE_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define TYPE_CONFIG "application/vnd.oci.image.config.v1+json"
#define TYPE_LAYER "application/vnd.oci.image.layer.v1.tar+gzip"
#define DIGEST_LEN (sizeof("sha256:") - 1 + (size_t)2 * COW_OCI_SHA256_LEN)

static void digest_text(const uint8_t sum[COW_OCI_SHA256_LEN], char ret[DIGEST_LEN + 1])
{
	(void)snprintf(ret, DIGEST_LEN + 1, "sha256:");
	for (size_t k = 0; k < COW_OCI_SHA256_LEN; k++)
		(void)snprintf(ret + 7 + 2 * k, 3, "%02x", sum[k]);
}

static void add(struct json_object *o, const char *key, const char *value)
{
	(void)json_object_object_add(o, key, json_object_new_string(value));
}

static struct json_object *descriptor(const char *type, const char *digest, uint64_t size)
{
	struct json_object *o = json_object_new_object();
	add(o, "mediaType", type);
	add(o, "digest", digest);
	(void)json_object_object_add(o, "size", json_object_new_int64((int64_t)size));
	return o;
}

static struct json_object *list_of(struct json_object *one)
{
	struct json_object *list = json_object_new_array();
	(void)json_object_array_add(list, one);
	return list;
}

/* Text of @o, which is given up, as the blob of its digest. */
static int put_blob(int blobs, struct json_object *o, char ret_digest[DIGEST_LEN + 1],
		    uint64_t *ret_size)
{
	uint8_t sum[COW_OCI_SHA256_LEN];
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	size_t len = text ? strlen(text) : 0;
	int r = text && EVP_Digest(text, len, sum, NULL, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
	if (r == 0) {
		digest_text(sum, ret_digest);
		*ret_size = len;
		r = cow_write_file_at(blobs, ret_digest + 7, text, len, 0644);
	}
	json_object_put(o);
	return r;
}

/* Names of GOARCH for Debian's; "" of ours stays unknown. */
static void set_arch(struct json_object *o, const char *arch)
{
	static const char *const names[][3] = {
	    {"armhf", "arm", "v7"}, {"armel", "arm", "v5"},    {"i386", "386", NULL},
	    {"arm64", "arm64", "v8"}, {"ppc64el", "ppc64le", NULL},
	};
	for (size_t k = 0; k < sizeof(names) / sizeof(*names); k++) {
		if (strcmp(names[k][0], arch) != 0)
			continue;
		add(o, "architecture", names[k][1]);
		if (names[k][2])
			add(o, "variant", names[k][2]);
		return;
	}
	add(o, "architecture", *arch ? arch : "unknown");
}

static struct json_object *make_config(const struct cow_image *i, const struct cow_oci_layer *layer)
{
	char created[COW_TIME_TEXT_LEN + 1], diff[DIGEST_LEN + 1], by[COW_LABEL_MAX + 64];
	struct json_object *o = json_object_new_object(), *rootfs = json_object_new_object(),
			   *step = json_object_new_object();
	cow_time_text(i->created_s, created);
	digest_text(layer->diff, diff);
	(void)snprintf(by, sizeof(by), "cowherd image export --oci %s@%u", i->name, i->version);
	add(o, "created", created);
	set_arch(o, i->arch);
	add(o, "os", "linux");
	(void)json_object_object_add(o, "config", json_object_new_object());
	add(rootfs, "type", "layers");
	(void)json_object_object_add(rootfs, "diff_ids", list_of(json_object_new_string(diff)));
	(void)json_object_object_add(o, "rootfs", rootfs);
	add(step, "created", created);
	add(step, "created_by", by);
	(void)json_object_object_add(o, "history", list_of(step));
	return o;
}

static int write_layer(const struct cow_ovl_image *img, int blobs,
		       const struct cow_export_opts *opts, struct cow_oci_layer *ret,
		       struct cow_err *err)
{
	char digest[DIGEST_LEN + 1];
	cow_autoclose int fd = openat(blobs, "layer", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return cow_err_set(err, -errno, "write the layer");
	int r = cow_oci_layer_write(img, fd, opts->progress, opts->ctx, ret, err);
	if (r < 0)
		return r;
	digest_text(ret->sum, digest);
	if (fsync(fd) < 0 || renameat(blobs, "layer", blobs, digest + 7) < 0)
		return cow_err_set(err, -errno, "write the layer");
	return 0;
}

/* Configuration, manifest, index. */
static int write_texts(const struct cow_image *i, int layout, int blobs,
		       const struct cow_oci_layer *layer)
{
	char digest[DIGEST_LEN + 1] = "", version[16];
	uint64_t size = 0;
	int r = put_blob(blobs, make_config(i, layer), digest, &size);
	struct json_object *o = json_object_new_object(), *notes = json_object_new_object();
	(void)json_object_object_add(o, "schemaVersion", json_object_new_int(2));
	add(o, "mediaType", TYPE_MANIFEST);
	(void)json_object_object_add(o, "config", descriptor(TYPE_CONFIG, digest, size));
	digest_text(layer->sum, digest);
	(void)json_object_object_add(o, "layers",
				     list_of(descriptor(TYPE_LAYER, digest, layer->bytes)));
	if (r == 0)
		r = put_blob(blobs, o, digest, &size);
	(void)snprintf(version, sizeof(version), "%u", i->version);
	add(notes, "org.opencontainers.image.ref.name", version);
	struct json_object *d = descriptor(TYPE_MANIFEST, digest, size);
	(void)json_object_object_add(d, "annotations", notes);
	struct json_object *index = json_object_new_object();
	(void)json_object_object_add(index, "schemaVersion", json_object_new_int(2));
	(void)json_object_object_add(index, "manifests", list_of(d));
	const char *text = json_object_to_json_string_ext(index, JSON_C_TO_STRING_PLAIN);
	if (r == 0)
		r = text ? cow_write_file_at(layout, "index.json", text, strlen(text), 0644)
			 : -ENOMEM;
	json_object_put(index);
	static const char head[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	return r < 0 ? r : cow_write_file_at(layout, "oci-layout", head, sizeof(head) - 1, 0644);
}

static int write_layout(const struct cow_image *i, const struct cow_ovl_image *img, int layout,
			const struct cow_export_opts *opts, struct cow_oci_layer *layer,
			struct cow_err *err)
{
	int r = cow_mkdir_at(layout, "blobs", 0755);
	cow_autoclose int all = r < 0 ? r : cow_opendir_at(layout, "blobs");
	r = all < 0 ? all : cow_mkdir_at(all, "sha256", 0755);
	cow_autoclose int blobs = r < 0 ? r : cow_opendir_at(all, "sha256");
	if (blobs < 0)
		return cow_err_set(err, blobs, "make '%s'", opts->output);
	r = write_layer(img, blobs, opts, layer, err);
	if (r < 0)
		return r;
	r = write_texts(i, layout, blobs, layer);
	if (r == 0 && syncfs(layout) < 0)
		r = -errno;
	return r < 0 ? cow_err_set(err, r, "write '%s'", opts->output) : 0;
}

/* The directory @name is in, which is the end of @path, in @ret_name. -> fd */
static int open_parent(const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	*ret_name = slash ? slash + 1 : path;
	if (!**ret_name)
		return -EINVAL;
	cow_autofree char *dir =
	    slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
	int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	return dir ? (fd < 0 ? -errno : fd) : -ENOMEM;
}

int cow_image_export_oci(struct cow_store *s, const struct cow_image *i,
			 const struct cow_export_opts *opts, struct cow_export_done *ret,
			 struct cow_err *err)
{
	cow_autoovlimage img = NULL;
	cow_autofree char *partial = NULL;
	const char *name;
	struct cow_oci_layer layer = {.bytes = 0};
	int r = cow_image_manifest(s, i, &img, err);
	if (r < 0)
		return r;
	cow_autoclose int parent = open_parent(opts->output, &name);
	if (parent < 0)
		return cow_err_set(err, parent, "write '%s'", opts->output);
	if (faccessat(parent, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return cow_err_say(err, COW_ERR_REFUSED, -EEXIST, "'%s' exists already", opts->output);
	if (asprintf(&partial, "%s.partial", name) < 0)
		return cow_err_set(err, -ENOMEM, "write '%s'", opts->output);
	r = cow_rm_rf_at(parent, partial, 0); /* of an export that was killed */
	if (r == 0)
		r = cow_mkdir_at(parent, partial, 0700); /* it holds files of every user */
	cow_autoclose int layout = r < 0 ? r : cow_opendir_at(parent, partial);
	if (layout < 0)
		return cow_err_set(err, layout, "write '%s'", opts->output);
	r = write_layout(i, img, layout, opts, &layer, err);
	if (r == 0 && (renameat2(parent, partial, parent, name, RENAME_NOREPLACE) < 0 ||
		       fsync(parent) < 0))
		r = cow_err_set(err, -errno, "write '%s'", opts->output);
	if (r < 0) {
		(void)cow_rm_rf_at(parent, partial, 0); /* else the next export does */
		return cow_err_prefix(err, r, "export image %s@%u", i->name, i->version);
	}
	*ret = (struct cow_export_done){
	    .bytes = layer.bytes, .files = i->inodes, .plain = i->bytes, .left_out = layer.sockets};
	return 0;
}
