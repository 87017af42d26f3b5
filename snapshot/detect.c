/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * What is in a tree: processor, system, where its boot files lie, what its initramfs can mount.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "common/bounds.h"
#include "common/cleanup.h"
#include "image_internal.h"
#include "tree.h"

#define PROGRAM_MAX (64u << 20)

static const char *arch_of_elf(const unsigned char *p, size_t len)
{
	static const struct {
		uint16_t machine;
		uint8_t class;
		const char *name;
	} known[] = {
	    {EM_X86_64, ELFCLASS64, "amd64"},  {EM_386, ELFCLASS32, "i386"},
	    {EM_AARCH64, ELFCLASS64, "arm64"}, {EM_ARM, ELFCLASS32, "armhf"},
	    {EM_RISCV, ELFCLASS64, "riscv64"}, {EM_PPC64, ELFCLASS64, "ppc64el"},
	    {EM_S390, ELFCLASS64, "s390x"},
	};
	if (len < sizeof(Elf32_Ehdr) || memcmp(p, ELFMAG, SELFMAG) != 0)
		return NULL;
	/* e_machine lies at the same place in both classes. */
	size_t at = offsetof(Elf32_Ehdr, e_machine);
	int big = p[EI_DATA] == ELFDATA2MSB;
	uint16_t machine = (uint16_t)(big ? p[at] << 8 | p[at + 1] : p[at] | p[at + 1] << 8);
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (known[i].machine == machine && known[i].class == p[EI_CLASS])
			return known[i].name;
	return NULL;
}

static const char *detect_arch(int tree)
{
	static const char *const programs[] = {"bin/sh", "usr/bin/env", "sbin/init",
					       "usr/lib/systemd/systemd", "bin/busybox"};
	for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++) {
		cow_autofree char *buf = NULL;
		size_t len;
		if (cow_tree_read(tree, programs[i], PROGRAM_MAX, &buf, &len) < 0)
			continue;
		const char *arch = arch_of_elf((unsigned char *)buf, len);
		if (arch)
			return arch;
	}
	return "";
}

/* PRETTY_NAME of os-release(5): a shell assignment, usually in double quotes. */
static char *detect_os(int tree)
{
	cow_autofree char *buf = NULL;
	size_t len;
	if (cow_tree_read(tree, "etc/os-release", COW_KV_FILE_MAX, &buf, &len) < 0 &&
	    cow_tree_read(tree, "usr/lib/os-release", COW_KV_FILE_MAX, &buf, &len) < 0)
		return strdup("");
	for (char *line = buf; line && *line; line = strchr(line, '\n'), line += line != NULL) {
		if (strncmp(line, "PRETTY_NAME=", 12) != 0)
			continue;
		char *value = line + 12;
		const char *stop = *value == '"' ? "\"\n" : *value == '\'' ? "'\n" : "\n";
		value += *stop != '\n';
		value[strcspn(value, stop)] = 0;
		return cow_conf_text(value);
	}
	return strdup("");
}

int cow_detect_in_fstab(int tree, const char *where)
{
	cow_autofree char *buf = NULL;
	size_t len, n = strlen(where);
	if (cow_tree_read(tree, "etc/fstab", COW_KV_FILE_MAX, &buf, &len) < 0)
		return 0;
	for (char *line = buf; line && *line; line = strchr(line, '\n'), line += line != NULL) {
		char *p = line + strspn(line, " \t");
		if (*p == '#')
			continue;
		p += strcspn(p, " \t\n");
		p += strspn(p, " \t");
		if (strncmp(p, where, n) == 0 && strchr(" \t", p[n]) && p[n])
			return 1;
	}
	return 0;
}

static const char *detect_boot_dir(int tree)
{
	if (cow_tree_has(tree, "boot/firmware/config.txt") || cow_detect_in_fstab(tree, "/boot/firmware"))
		return "boot/firmware";
	return "boot";
}

const char *cow_detect_initramfs(int tree)
{
	if (cow_tree_has(tree, "etc/initramfs-tools/scripts/cowherd") ||
	    cow_tree_has(tree, "usr/share/initramfs-tools/scripts/cowherd"))
		return "cowherd";
	if (cow_tree_has(tree, "usr/share/initramfs-tools/scripts/nfs"))
		return "klibc";
	return "none";
}

int cow_detect(int tree, struct cow_detected *ret)
{
	ret->arch = detect_arch(tree);
	ret->boot_dir = detect_boot_dir(tree);
	ret->initramfs = cow_detect_initramfs(tree);
	ret->os = detect_os(tree);
	return ret->os ? 0 : -ENOMEM;
}
