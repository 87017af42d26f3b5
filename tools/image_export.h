/* SPDX-License-Identifier: LGPL-3.0-or-later */
#ifndef COW_TOOLS_IMAGE_EXPORT_H
#define COW_TOOLS_IMAGE_EXPORT_H

int cow_cmd_image_export(int argc, char **argv);

#endif
