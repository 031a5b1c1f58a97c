/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#define FRAME_SUMS frame_sums_generic
#include "frame_sums_kernel.h"
