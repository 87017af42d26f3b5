/* SPDX-License-Identifier: LGPL-3.0-or-later */
#ifndef COW_TOOLS_IMAGE_FIXUP_H
#define COW_TOOLS_IMAGE_FIXUP_H

int cow_cmd_image_fixup(int argc, char **argv);

#endif
