/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

#define ENCODER_OPS encoder_ops_avx512_bf16
#include "encoder_ops_kernel.h"
