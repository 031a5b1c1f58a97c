/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#define ENCODER_OPS encoder_ops_avx2
#define WIDTH 8
#define TILE_ROWS 4
#include "encoder_ops_kernel.h"
