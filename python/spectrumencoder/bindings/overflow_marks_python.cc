/* -*- c++ -*- */
/* SPDX-License-Identifier: GPL-3.0-or-later */

// gr-soapy prints "sO" to std::cerr for each overflow, without an end of line. A line that the program prints then
// begins in the middle of one, thousands of marks long in a service's journal. Here the marks are counted instead of
// printed.

#include <pybind11/pybind11.h>
#include <atomic>
#include <cstring>
#include <iostream>
#include <streambuf>

namespace py = pybind11;

namespace {

constexpr const char* MARK = "sO";

class without_marks : public std::streambuf
{
public:
    explicit without_marks(std::streambuf* to) : d_to(to) {}
    unsigned long marks() const { return d_marks; }

protected:
    std::streamsize xsputn(const char* text, std::streamsize size) override
    {
        if (size != std::streamsize(std::strlen(MARK)) || std::memcmp(text, MARK, size) != 0)
            return d_to->sputn(text, size);
        ++d_marks;
        return size;
    }
    int_type overflow(int_type one) override
    {
        return traits_type::eq_int_type(one, traits_type::eof()) ? traits_type::not_eof(one) : d_to->sputc(char(one));
    }
    int sync() override { return d_to->pubsync(); }

private:
    std::streambuf* d_to;
    std::atomic<unsigned long> d_marks{ 0 };
};

without_marks* filter = nullptr; // lives as long as std::cerr

} // namespace

void bind_overflow_marks(py::module& m)
{
    m.def(
        "hide_overflow_marks",
        [] {
            if (!filter) {
                filter = new without_marks(std::cerr.rdbuf());
                std::cerr.rdbuf(filter);
            }
        },
        "From here on gr-soapy's marks of overflows are counted, and not printed. Call it before a radio streams.");
    m.def(
        "overflow_marks", [] { return filter ? filter->marks() : 0; }, "Number of marks that were not printed.");
}
