/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

/*! \file
 * Faults of a radio, on demand. They are counted in reads of the stream, so that a test knows when they come. */

#ifndef INCLUDED_SPECTRUMTEST_FAULTS_H
#define INCLUDED_SPECTRUMTEST_FAULTS_H

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

namespace spectrumtest {

class faults
{
public:
    enum class kind { none, overflow, timeout, error, unplug, hang };

    //! \return false if there is no fault of this name
    bool set(const std::string& name, uint64_t reads)
    {
        for (auto& fault : d_faults)
            if (name == fault.name) {
                fault.begin = d_reads.load();
                fault.reads = reads;
                return true;
            }
        return false;
    }

    //! Counts a read of the stream.
    //! \return its fault
    kind next()
    {
        const uint64_t now = ++d_reads;
        for (const auto& fault : d_faults) {
            const uint64_t since = now - fault.begin;
            if (fault.reads > 0 && (fault.repeats ? since % fault.reads == 0 : since > fault.reads))
                return fault.what;
        }
        return kind::none;
    }

    struct entry {
        const char* name;
        const char* about;
        kind what;
        bool repeats;
        std::atomic<uint64_t> reads{ 0 };
        std::atomic<uint64_t> begin{ 0 };
    };

    const std::array<entry, 5>& all() const { return d_faults; }

private:
    std::atomic<uint64_t> d_reads{ 0 };
    std::array<entry, 5> d_faults{ {
        { "hang_after", "after so many reads one never returns", kind::hang, false },
        { "unplug_after", "after so many reads every call throws, as when the plug is pulled", kind::unplug, false },
        { "error_after", "after so many reads each ends in a stream error", kind::error, false },
        { "timeout_every",
          "every so many reads one times out, and the samples of that time are lost",
          kind::timeout,
          true },
        { "overflow_every", "every so many reads one reports an overflow and loses samples", kind::overflow, true },
    } };
};

} // namespace spectrumtest

#endif /* INCLUDED_SPECTRUMTEST_FAULTS_H */
