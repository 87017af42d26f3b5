/* SPDX-License-Identifier: LGPL-3.0-or-later */
#ifndef COW_TOOLS_IMAGE_CHECK_H
#define COW_TOOLS_IMAGE_CHECK_H

int cow_cmd_image_verify(int argc, char **argv);
int cow_cmd_image_dump(int argc, char **argv);

#endif
