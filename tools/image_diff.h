/* SPDX-License-Identifier: LGPL-3.0-or-later */
#ifndef COW_TOOLS_IMAGE_DIFF_H
#define COW_TOOLS_IMAGE_DIFF_H

int cow_cmd_image_diff(int argc, char **argv);

#endif
