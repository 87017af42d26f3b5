/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The kinds of boards, and what each asks for: see board.h. Missing names are as much part of a boot as files are.
 */
#include "board.h"

/* clang-format off */
#define GET(n) {.kind = STEP_GET, .name = (n)}
#define OWN(n) {.kind = STEP_GET, .name = (n), .own = true}
#define SIZED(n) {.kind = STEP_SIZED, .name = (n)}
#define PROBE(n) {.kind = STEP_PROBE, .name = (n)}
#define NONE(n) {.kind = STEP_NONE, .name = (n)}
#define EITHER(n) {.kind = STEP_EITHER, .name = (n)}
#define CONFIG CONFIG_IN("config.txt")
#define CONFIG_IN(n) {.kind = STEP_GET, .name = (n), \
	.has = {"arm_boost=1\n", "[all]\ndtparam=audio=on\n", "\nauto_initramfs=0\n", "\ncmdline=cmdline.txt\n"}, \
	.lacks = {"initramfs8", "other.txt", "auto_initramfs=1"}}
/* The other words of a command line depend on the board; the player knows them. */
#define CMDLINE {.kind = STEP_GET, .name = "cmdline.txt", \
	.has = {"console=serial0,115200 ", " root=/dev/nfs ", " rw ", " ip=dhcp "}, \
	.lacks = {"PARTUUID", "firstboot", "fsck.repair"}}
#define END {.name = NULL}
/* clang-format on */

/* Raspberry Pi: a block that comes twice without need makes start4.elf hang. The server's time-out is a second; how late
 * it was when it sent the block, it does not count. */
#define PI .abort_code = 0, .abort_text = "Early terminate", .resend_ms = 2000, .again_ms = 800

static const struct loader rom = {
    .name = "mask ROM", .flags = LOADER_NO_PREFIX | LOADER_FIXED_PORT, PI};
static const struct loader bootcode = {
    .name = "bootcode.bin", .options = {{"tsize", "0"}}, .flags = LOADER_DROPS_PREFIX, PI};
static const struct loader start = {.name = "start.elf", .options = {{"tsize", "0"}}, PI};
static const struct loader eeprom_2019 = {
    .name = "EEPROM of 2019", .options = {{"tsize", "0"}, {"blksize", "1024"}}, PI};
static const struct loader eeprom = {
    .name = "EEPROM", .options = {{"tsize", "0"}, {"blksize", "1468"}}, PI};
static const struct loader start4 = {
    .name = "start4.elf", .options = {{"tsize", "0"}, {"blksize", "1024"}}, PI};
static const struct loader uboot = {
    .name = "U-Boot",
    .options = {{"timeout", "5"}, {"tsize", "0"}, {"blksize", "1468"}},
    .resend_ms = 5000};
static const struct loader uboot_windows = {
    .name = "U-Boot with windows",
    .options = {{"timeout", "5"}, {"tsize", "0"}, {"blksize", "1468"}, {"windowsize", "8"}},
    .resend_ms = 5000};
/* Asks for the size first, then with other options. */
static const struct loader pxe_rom_size = {.name = "PXE ROM, first",
					   .options = {{"tsize", "0"}},
					   .flags = LOADER_NO_PREFIX,
					   .abort_code = 0,
					   .abort_text = "TFTP Aborted",
					   .resend_ms = 2000,
					   .again_ms = 800};
static const struct loader pxe_rom = {.name = "PXE ROM",
				      .options = {{"blksize", "1456"}},
				      .flags = LOADER_NO_PREFIX,
				      .resend_ms = 2000,
				      .again_ms = 800};
static const struct loader ipxe = {.name = "iPXE",
				   .options = {{"blksize", "1432"}, {"tsize", "0"}},
				   .abort_code = 0,
				   .abort_text = "Operation canceled",
				   .resend_ms = 2000,
				   .again_ms = 800};
static const struct loader ipxe_multicast = {
    .name = "iPXE with multicast",
    .options = {{"blksize", "1432"}, {"tsize", "0"}, {"multicast", ""}},
    .abort_code = 0,
    .abort_text = "Operation canceled",
    .resend_ms = 2000,
    .again_ms = 800};
/* An empty value in the middle: what comes behind it counts as well. */
static const struct loader multicast_first = {
    .name = "multicast before tsize",
    .options = {{"multicast", ""}, {"tsize", "0"}, {"blksize", "1432"}},
    .resend_ms = 2000,
    .again_ms = 800};
static const struct loader pxelinux = {.name = "pxelinux",
				       .options = {{"tsize", "0"}, {"blksize", "1408"}},
				       .flags = LOADER_NO_PREFIX,
				       .resend_ms = 2000,
				       .again_ms = 800};
static const struct loader grub = {.name = "GRUB",
				   .options = {{"blksize", "1024"}, {"tsize", "0"}},
				   .flags = LOADER_NO_PREFIX | LOADER_NEEDS_OACK,
				   .abort_code = 0,
				   .abort_text = "closed",
				   .resend_ms = 2000,
				   .again_ms = 800};
static const struct loader edk2 = {
    .name = "EDK2",
    .options = {{"tsize", "0"}, {"blksize", "1468"}, {"windowsize", "4"}},
    .flags = LOADER_NO_PREFIX,
    .abort_code = 8,
    .abort_text = "User aborted download",
    .resend_ms = 4000};

/* ---------------------------------------------------------------- Raspberry Pi up to 3 */

static const struct step rom_steps[] = {GET("bootcode.bin"), NONE("bootsig.bin"), END};

/* The first name is only tried; the prefix goes for good when it is missing. */
static const struct step bootcode_steps[] = {
    EITHER("start.elf"), NONE("autoboot.txt"), CONFIG, NONE("recovery.elf"),
    SIZED("start.elf"),	 SIZED("fixup.dat"),   END};

#define PI3_STEPS(dtb)                                                                             \
	NONE("recovery.elf"), CONFIG, NONE("dt-blob.bin"), NONE("recovery.elf"), CONFIG,           \
	    NONE("bootcfg.txt"), dtb, GET("overlays/overlay_map.dtb"), CONFIG,                     \
	    SIZED("overlays/vc4-kms-v3d.dtbo"), CMDLINE, NONE("recovery8.img"),                    \
	    NONE("recovery8-32.img"), NONE("recovery7.img"), NONE("recovery.img")

static const struct step pi3_steps[] = {PI3_STEPS(OWN("bcm2710-rpi-3-b.dtb")), PROBE("kernel8.img"),
					NONE("armstub8.bin"), GET("kernel8.img"), END};
static const struct step pi3b_plus_steps[] = {PI3_STEPS(OWN("bcm2710-rpi-3-b-plus.dtb")),
					      PROBE("kernel8.img"),
					      NONE("kernel8-32.img"),
					      PROBE("kernel7.img"),
					      NONE("armstub8-32.bin"),
					      GET("kernel7.img"),
					      END};
static const struct step pi2_steps[] = {PI3_STEPS(OWN("bcm2709-rpi-2-b.dtb")), SIZED("kernel7.img"),
					END};

static const struct stage pi3[] = {
    {&rom, rom_steps}, {&bootcode, bootcode_steps}, {&start, pi3_steps}, {0}};
static const struct stage pi3b_plus[] = {
    {&rom, rom_steps}, {&bootcode, bootcode_steps}, {&start, pi3b_plus_steps}, {0}};
/* From a card with bootcode.bin alone, as Pi 1 and 2 need. */
static const struct stage pi2[] = {{&bootcode, bootcode_steps}, {&start, pi2_steps}, {0}};

/* ---------------------------------------------------------------- Raspberry Pi 4 */

static const struct step eeprom4_steps[] = {PROBE("start4.elf"),
					    PROBE("start.elf"),
					    CONFIG,
					    NONE("vl805.sig"),
					    NONE("vl805.bin"),
					    NONE("pieeprom.sig"),
					    NONE("pieeprom.upd"),
					    NONE("recover4.elf"),
					    NONE("fixup4rc.dat"),
					    NONE("recovery.elf"),
					    NONE("fixup_rc.dat"),
					    SIZED("start4.elf"),
					    SIZED("fixup4.dat"),
					    END};

static const struct step start4_steps[] = {CONFIG,
					   NONE("dt-blob.bin"),
					   CONFIG,
					   NONE("bootcfg.txt"),
					   CONFIG,
					   NONE("initramfs8"),
					   OWN("bcm2711-rpi-4-b.dtb"),
					   SIZED("overlays/overlay_map.dtb"),
					   SIZED("overlays/vc4-kms-v3d-pi4.dtbo"),
					   SIZED("overlays/README"),
					   CMDLINE,
					   PROBE("kernel8.img"),
					   NONE("armstub8-gic.bin"),
					   GET("kernel8.img"),
					   END};

static const struct stage pi4_2019[] = {
    {&eeprom_2019, eeprom4_steps}, {&start4, start4_steps}, {0}};
static const struct stage pi4[] = {{&eeprom, eeprom4_steps}, {&start4, start4_steps}, {0}};
static const struct stage pi4_new[] = {{&eeprom, eeprom4_steps}, {&eeprom, start4_steps}, {0}};

/* ---------------------------------------------------------------- Raspberry Pi 5 */

static const struct step eeprom5_steps[] = {
    CONFIG,
    NONE("pieeprom.sig"),
    NONE("bcm2712d0-rpi-5-b.dtb"),
    OWN("bcm2712-rpi-5-b.dtb"),
    SIZED("overlays/overlay_map.dtb"),
    SIZED("overlays/hat_map.dtb"),
    SIZED("overlays/vc4-kms-v3d-pi5.dtbo"),
    CMDLINE,
    NONE("boot.img"),
    NONE("boot.sig"),
    PROBE("kernel_2712.img"),
    NONE("armstub8-2712.bin"),
    NONE("initramfs_2712"),
    GET("kernel_2712.img"),
    END,
};
/* A trial boot asks for tryboot.txt in place of config.txt. */
static const struct step tryboot_steps[] = {CONFIG_IN("tryboot.txt"), OWN("bcm2712-rpi-5-b.dtb"),
					    CMDLINE, SIZED("kernel_2712.img"), END};

static const struct stage pi5[] = {{&eeprom, eeprom5_steps}, {0}};
static const struct stage pi5_tryboot[] = {{&eeprom, tryboot_steps}, {0}};

/* ---------------------------------------------------------------- U-Boot, PCs */

#define SCRIPT(n, kernel)                                                                          \
	{                                                                                          \
		.kind = STEP_GET, .name = (n), .has = {kernel, " root=/dev/nfs "}, .lacks = {      \
			"PARTUUID"                                                                 \
		}                                                                                  \
	}
#define PXE_SCRIPT(n) SCRIPT(n, "vmlinuz-6.1.0-18-amd64\n")

static const struct step uboot_steps[] = {
    PXE_SCRIPT("pxelinux.cfg/01-{mac}"), OWN("boot.scr.uimg"), NONE("{ip}.img"),
    GET("bcm2711-rpi-4-b.dtb"),		 GET("Image"),	       END};
/* Its own name is refused it in some builds; each of the shorter ones gets it the same. */
static const struct step uboot_short_steps[] = {PXE_SCRIPT("pxelinux.cfg/{ip}"),
						PXE_SCRIPT("pxelinux.cfg/{ip:7}"),
						PXE_SCRIPT("pxelinux.cfg/{ip:1}"),
						PXE_SCRIPT("pxelinux.cfg/default-arm-bcm283x"),
						PXE_SCRIPT("pxelinux.cfg/default-arm"),
						OWN("boot.scr.uimg"),
						GET("Image"),
						END};

static const struct step pxe_rom_size_steps[] = {PROBE("pxelinux.0"), END};
static const struct step pxe_rom_steps[] = {GET("pxelinux.0"), END};
static const struct step pxelinux_steps[] = {
    GET("ldlinux.c32"),
    PXE_SCRIPT("pxelinux.cfg/b8945908-d6a6-41a9-611d-74a6ab80b83d"),
    GET("menu.c32"),
    GET("libutil.c32"),
    GET("vmlinuz-6.1.0-18-amd64"),
    GET("initrd.img-6.1.0-18-amd64"),
    END,
};
#define IPXE_SCRIPT                                                                                \
	{                                                                                          \
		.kind = STEP_GET, .name = "boot.ipxe",                                             \
		.has = {"#!ipxe\n", "\nkernel vmlinuz-6.1.0-18-amd64 ", " root=/dev/nfs "},        \
		.lacks = {                                                                         \
			"PARTUUID"                                                                 \
		}                                                                                  \
	}
static const struct step ipxe_steps[] = {NONE("autoexec.ipxe"), IPXE_SCRIPT,
					 PROBE("vmlinuz-6.1.0-18-amd64"),
					 GET("vmlinuz-6.1.0-18-amd64"), END};
static const struct step multicast_steps[] = {GET("bootx64.efi"), END};
static const struct step edk2_steps[] = {PROBE("grubx64.efi"), GET("grubx64.efi"), END};
static const struct step grub_steps[] = {
    NONE("/grub/x86_64-efi/command.lst"),
    NONE("/grub/x86_64-efi/fs.lst"),
    NONE("/grub/x86_64-efi/crypto.lst"),
    NONE("/grub/x86_64-efi/terminal.lst"),
    SCRIPT("/grub/grub.cfg-01-{mac}", "vmlinuz-6.1.0-18-amd64 "),
    PROBE("/vmlinuz-6.1.0-18-amd64"),
    GET("/vmlinuz-6.1.0-18-amd64"),
    GET("/initrd.img-6.1.0-18-amd64"),
    END,
};

static const struct stage uboot_board[] = {{&uboot, uboot_steps}, {0}};
static const struct stage uboot_windows_board[] = {{&uboot_windows, uboot_short_steps}, {0}};
static const struct stage pxelinux_pc[] = {{&pxe_rom_size, pxe_rom_size_steps},
					   {&pxe_rom, pxe_rom_steps},
					   {&pxelinux, pxelinux_steps},
					   {0}};
static const struct stage ipxe_pc[] = {
    {&ipxe, ipxe_steps}, {&ipxe_multicast, ipxe_steps}, {&multicast_first, multicast_steps}, {0}};
static const struct stage grub_pc[] = {{&edk2, edk2_steps}, {&grub, grub_steps}, {0}};

const struct kind board_kinds[BOARD_KINDS] = {
    {"Pi 3B", PREFIX_SERIAL, pi3},
    {"Pi 3B+", PREFIX_SERIAL, pi3b_plus},
    {"Pi 3B+ whose prefix is missing", PREFIX_UNKNOWN, pi3b_plus},
    {"Pi 2 with a card", PREFIX_SERIAL, pi2},
    {"Pi 4 of 2019", PREFIX_SERIAL, pi4_2019},
    {"Pi 4", PREFIX_SERIAL, pi4},
    {"Pi 4, TFTP_PREFIX=2", PREFIX_MAC, pi4},
    {"Pi 4, no prefix", PREFIX_NONE, pi4_new},
    {"Pi 5", PREFIX_SERIAL, pi5},
    {"Pi 5, TFTP_PREFIX=2", PREFIX_MAC, pi5},
    {"Pi 5, trial boot", PREFIX_SERIAL, pi5_tryboot},
    {"U-Boot", PREFIX_MAC, uboot_board},
    {"U-Boot, windows", PREFIX_NONE, uboot_windows_board},
    {"PC, pxelinux", PREFIX_NONE, pxelinux_pc},
    {"PC, iPXE", PREFIX_NONE, ipxe_pc},
    {"PC, GRUB", PREFIX_NONE, grub_pc},
};
