/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Generated boot files from any bytes: cmdline.txt of a tree, what loaders read; the words and names in records, names
 * of kernels. Input: flags, then three NUL-separated strings (client's words, host name, kernel),
 * the rest is cmdline.txt.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/span.h"
#include "tftp/cmdline.h"
#include "tftp/limits.h"
#include "tftp/vercmp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

static void check_pi(const struct cow_tftp_boot *b, const char *in, size_t len)
{
	char *out, *again;
	size_t out_len, again_len;

	if (cow_tftp_cmdline_pi(b, in, len, &out, &out_len, NULL) < 0)
		return;
	CHECK(out_len > 0 && out_len <= COW_TFTP_CMDLINE_MAX + 1 && out[out_len - 1] == '\n');
	for (size_t i = 0; i + 1 < out_len; i++)
		CHECK(out[i] == '\t' || ((unsigned char)out[i] >= 0x20 && out[i] != 0x7f));
	CHECK(memmem(out, out_len, "root=/dev/nfs", 13));
	CHECK(cow_tftp_cmdline_pi(b, out, out_len, &again, &again_len, NULL) == 0);
	CHECK(again_len == out_len && memcmp(again, out, out_len) == 0); /* idempotent */
	free(out);
	free(again);
}

/* Lines are ours whatever the strings hold: none can begin one. */
static void check_ipxe(const struct cow_tftp_boot *b, const char *kernel)
{
	static const char *const starts[] = {
	    "#!ipxe",  "echo cowherd:", "kernel ", "initrd ",	     "boot || goto failed",
	    ":failed", "imgfree",	"prompt ", "chain --replace"};
	char *out;
	size_t len;

	if (cow_tftp_ipxe_script(b, kernel, kernel, &out, &len) < 0)
		return;
	CHECK(out && len > 0 && out[len - 1] == '\n' && !memmem(out, len, "${", 2) &&
	      !memchr(out, 0, len));
	for (const char *p = out; p < out + len;) {
		size_t i, rest = (size_t)(out + len - p);

		for (i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
			if (rest >= strlen(starts[i]) &&
			    memcmp(p, starts[i], strlen(starts[i])) == 0)
				break;
		}
		CHECK(i < sizeof(starts) / sizeof(starts[0]));
		p = (const char *)memchr(p, '\n', rest) + 1;
	}
	free(out);
}

static void check_pxelinux(const struct cow_tftp_boot *b, const char *kernel)
{
	static const char *const starts[] = {"say cowherd:",  "default cowherd\n", "prompt 0\n",
					     "timeout 100\n", "label cowherd\n",   "linux dir/",
					     "initrd dir/",   "fdtdir dir/",	   "append "};
	char *out;
	size_t len;

	if (cow_tftp_pxelinux_config(b, "dir/", kernel, kernel, kernel, &out, &len) < 0)
		return;
	CHECK(out && len > 0 && out[len - 1] == '\n' && !memchr(out, 0, len));
	CHECK(!memchr(out, '$', len) && !memchr(out, '\'', len) && !memchr(out, '\\', len));
	const char *p = out;

	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		size_t rest = (size_t)(out + len - p);

		CHECK(rest >= strlen(starts[i]) && memcmp(p, starts[i], strlen(starts[i])) == 0);
		p = (const char *)memchr(p, '\n', rest) + 1;
	}
	CHECK(p == out + len);
	free(out);
}

/* As a shell reads it: what is not within apostrophes is ours, and a line's end never is within. */
static void check_grub(const struct cow_tftp_boot *b, const char *kernel)
{
	char *out;
	size_t len;

	if (cow_tftp_grub_config(b, kernel, kernel, &out, &len) < 0)
		return;
	CHECK(out && len > 0 && out[len - 1] == '\n' && !memchr(out, 0, len));
	bool quoted = false;
	unsigned lines = 0;

	for (size_t i = 0; i < len; i++) {
		if (out[i] == '\'')
			quoted = !quoted;
		else if (out[i] == '\n')
			lines++;
		CHECK(!quoted || out[i] != '\n');
		CHECK(quoted || (out[i] & 0x80) == 0);
		CHECK(quoted || !strchr(";|&$`\\\"#{}<>", out[i]));
	}
	CHECK(!quoted && lines == 14);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const how[] = {"cowherd", "klibc", "none"};
	static const char *const nfs[] = {"3", "4.0", "4.1", "4.2"};
	struct cow_span s = cow_span_of(data, size);
	const char *words, *name, *kernel;
	size_t len;
	uint8_t flags;

	if (!cow_span_u8(&s, &flags) || !cow_span_cstr(&s, &words, &len) ||
	    !cow_span_cstr(&s, &name, &len) || !cow_span_cstr(&s, &kernel, &len))
		return 0;

	const struct cow_tftp_boot b = {
	    .mac = "dc-a6-32-01-02-03",
	    .name = name,
	    .image = "raspios",
	    .version = flags,
	    .server = "10.77.0.1",
	    .nfs = nfs[flags % 4],
	    .nfs_port = flags & 0x40 ? 12049 : 2049,
	    .mount_port = flags & 0x20 ? 12050 : 0,
	    .initramfs = how[(flags >> 2) % 3],
	    .words = words,
	};

	check_pi(&b, (const char *)s.p, s.len);
	check_ipxe(&b, kernel);
	check_pxelinux(&b, kernel);
	check_grub(&b, kernel);
	int d = cow_tftp_vercmp(name, kernel), e = cow_tftp_vercmp(kernel, name);

	CHECK((d > 0) == (e < 0) && (d < 0) == (e > 0));
	return 0;
}
