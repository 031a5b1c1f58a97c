/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

// A radio that was unplugged may throw once more when its stream is closed. gr-soapy does that where no exception may
// leave (a destructor of the scheduler), and the C++ runtime answers by ending the process: nothing is flushed, no word
// is said. Here that thread is put to sleep instead, and whoever runs the flowgraph is told, closes its files and ends
// the process.

#include <pybind11/pybind11.h>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <unistd.h>

namespace py = pybind11;

namespace {

std::terminate_handler previous = nullptr;
std::mutex failure_mutex;
std::string failure;
int n_failures = 0;

std::string what_was_thrown()
{
    try {
        if (const auto thrown = std::current_exception())
            std::rethrow_exception(thrown);
    } catch (const std::exception& error) {
        return error.what();
    } catch (...) {
    }
    return "an unknown exception";
}

void park_thread()
{
    // The main thread, one that holds Python's lock, or one that no exception was thrown in is not a driver's: that is
    // as bad as it was.
    if (gettid() == getpid() || PyGILState_Check() || !std::current_exception())
        previous();
    {
        std::lock_guard<std::mutex> lock(failure_mutex);
        failure = what_was_thrown();
        ++n_failures;
    }
    while (true)
        std::this_thread::sleep_for(std::chrono::hours(1));
}

} // namespace

void bind_driver_failure(py::module& m)
{
    m.def(
        "survive_driver_failures",
        [] {
            if (std::get_terminate() != park_thread)
                previous = std::set_terminate(park_thread);
        },
        "From here on an exception that would end the process from a thread of C++ only puts that thread to sleep. "
        "Call it in the start of a block: GNU Radio sets a handler of its own before, and no work is called until all "
        "blocks have started.");
    m.def(
        "driver_failures",
        [] {
            std::lock_guard<std::mutex> lock(failure_mutex);
            return std::make_pair(n_failures, failure);
        },
        "How many such threads there were, and what the last has thrown.");
}
