/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

/*! \file
 * Symbol visibility of the library. */

#ifndef INCLUDED_SPECTRUMENCODER_API_H
#define INCLUDED_SPECTRUMENCODER_API_H

#include <gnuradio/attributes.h>

#ifdef gnuradio_spectrumencoder_EXPORTS
#define SPECTRUMENCODER_API __GR_ATTR_EXPORT
#else
#define SPECTRUMENCODER_API __GR_ATTR_IMPORT
#endif

#endif /* INCLUDED_SPECTRUMENCODER_API_H */
