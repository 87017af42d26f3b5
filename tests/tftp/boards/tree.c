/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A boot tree as Raspberry Pi OS and Debian have it, with the sizes of real files and bytes of our own: see board.h.
 */
#include "board.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"

#define SMALL (64u << 10) /* files up to here keep their size */
#define MIB (1u << 20)

#define CONFIG                                                                                     \
	"# For more options see the documentation\narm_64bit=1\nauto_initramfs=1\n"                \
	"initramfs initramfs8 followkernel\ncmdline=other.txt\n[pi4]\narm_boost=1\n[all]\n"        \
	"dtparam=audio=on\n"

static const struct boot_file files[] = {
    /* Raspberry Pi: firmware */
    {"bootcode.bin", 52480, NULL}, /* a multiple of 512: it ends with an empty block */
    {"start.elf", 2979264, NULL},
    {"start4.elf", 2255104, NULL},
    {"start4x.elf", 3000936, NULL},
    {"fixup.dat", 7265, NULL},
    {"fixup4.dat", 5402, NULL},
    {"LICENCE.broadcom", 1594, NULL},
    {"config.txt", 0, CONFIG},
    {"tryboot.txt", 0, CONFIG},
    {"cmdline.txt", 0,
     "console=serial0,115200 console=tty1 root=PARTUUID=8b4d2e1a-02 rootfstype=ext4 "
     "fsck.repair=yes rootwait quiet init=/usr/lib/raspberrypi-sys-mods/firstboot\n"},
    {"bcm2710-rpi-3-b.dtb", 34215, NULL},
    {"bcm2710-rpi-3-b-plus.dtb", 34826, NULL},
    {"bcm2709-rpi-2-b.dtb", 32107, NULL},
    {"bcm2711-rpi-4-b.dtb", 56153, NULL},
    {"bcm2712-rpi-5-b.dtb", 78212, NULL},
    {"overlays/README", 240121, NULL},
    {"overlays/overlay_map.dtb", 5341, NULL},
    {"overlays/hat_map.dtb", 3204, NULL},
    {"overlays/vc4-kms-v3d.dtbo", 2760, NULL},
    {"overlays/vc4-kms-v3d-pi4.dtbo", 3913, NULL},
    {"overlays/vc4-kms-v3d-pi5.dtbo", 3120, NULL},
    /* kernels; the first is as large as blocks of 512 bytes bear well, and a multiple of them */
    {"kernel8.img", 9 * MIB, NULL},
    {"kernel7.img", 7 * MIB + 123, NULL},
    {"kernel7l.img", 7 * MIB + 4321, NULL},
    {"kernel_2712.img", 9 * MIB + 77777, NULL},
    {"initramfs8", 10 * MIB + 1, NULL},
    {"initramfs_2712", 10 * MIB + 2, NULL},
    /* U-Boot and PCs */
    {"boot.scr.uimg", 2876, NULL},
    {"Image", 9 * MIB + 1468, NULL},
    {"pxelinux.0", 42430, NULL},
    {"ldlinux.c32", 119524, NULL},
    {"libutil.c32", 23628, NULL},
    {"menu.c32", 26596, NULL},
    {"bootx64.efi", 955656, NULL},
    {"grubx64.efi", 2 * MIB + 90000, NULL},
    {"vmlinuz-6.1.0-18-amd64", 8 * MIB + 90528, NULL},
    {"initrd.img-6.1.0-18-amd64", 9 * MIB + 512, NULL},
};
#define COUNT (sizeof(files) / sizeof(files[0]))

const struct boot_file *boot_file_find(const char *name)
{
	for (size_t i = 0; i < COUNT; i++) {
		if (strcmp(files[i].name, name) == 0)
			return &files[i];
	}
	return NULL;
}

uint32_t boot_file_size(const struct boot_file *f, unsigned divisor)
{
	if (f->text)
		return (uint32_t)strlen(f->text);
	return f->size > SMALL ? f->size / divisor : f->size;
}

uint32_t boot_seed(const char *name)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 16777619u;
	return h;
}

/* No block is like another: neither shifted, nor repeated, nor of another file. */
uint8_t boot_byte(uint32_t seed, uint32_t i)
{
	uint32_t x = seed + (i >> 2) * 2654435761u;

	x ^= x >> 15;
	return (uint8_t)(x * 2246822519u >> (8 * (i & 3)));
}

static int put(int boot, const struct boot_file *f, unsigned divisor)
{
	uint32_t size = boot_file_size(f, divisor), seed = boot_seed(f->name);
	int fd = openat(boot, f->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	uint8_t *data = malloc(size);

	if (fd < 0 || !data) {
		int r = fd < 0 ? -errno : -ENOMEM;

		free(data);
		if (fd >= 0)
			(void)close(fd);
		return r;
	}
	for (uint32_t i = 0; i < size; i++)
		data[i] = f->text ? (uint8_t)f->text[i] : boot_byte(seed, i);
	int r = cow_write_full(fd, data, size);

	free(data);
	(void)close(fd);
	return r;
}

int boot_tree_make(const char *dir, unsigned divisor)
{
	static const char *const dirs[] = {"", "/boot", "/boot/overlays", "/etc"};
	char path[256];
	int r = 0;

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", dir, dirs[i]);
		if (mkdir(path, 0755) < 0)
			return -errno;
	}
	(void)snprintf(path, sizeof(path), "%s/boot", dir);
	int boot = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (boot < 0)
		return -errno;
	for (size_t i = 0; i < COUNT && r == 0; i++)
		r = put(boot, &files[i], divisor);
	(void)close(boot);
	return r;
}
