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

namespace py = pybind11;

namespace {

std::terminate_handler previous = nullptr;
std::thread::id main_thread;
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
    // A thread that holds Python's lock, or that no exception was thrown in, is not a driver's: that is as bad as it
    // was.
    if (std::this_thread::get_id() == main_thread || PyGILState_Check() || !std::current_exception())
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
            if (std::get_terminate() != park_thread) {
                main_thread = std::this_thread::get_id();
                previous = std::set_terminate(park_thread);
            }
        },
        "From here on an exception that would end the process from a thread of C++ only puts that thread to sleep. "
        "Call it when "
        "the flowgraph has started (GNU Radio sets a handler of its own then), from the thread that watches "
        "`driver_failures`.");
    m.def(
        "driver_failures",
        [] {
            std::lock_guard<std::mutex> lock(failure_mutex);
            return std::make_pair(n_failures, failure);
        },
        "How many such threads there were, and what the last has thrown.");
}
